import type { Library } from "../../shared/api";

/** What a model was logged with, beside what it runs with. */
export function Libraries({ libraries }: { libraries: Library[] }) {
  if (!libraries.length) return null;
  return (
    <div className="scroll">
      <table className="libraries">
        <thead>
          <tr>
            <th scope="col">Library</th>
            <th scope="col">Logged with</th>
            <th scope="col">Runs with</th>
          </tr>
        </thead>
        <tbody>
          {libraries.map(({ name, logged, running, differs }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{logged}</td>
              <td className={differs ? "problem" : ""}>
                {running || "–"}
                {differs && " (another version)"}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
