import type { Overview } from "../../shared/api";
import { useOverviews } from "../../shared/queries";
import { Loaded } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";

/** Every endpoint that the user may read. `address` makes the address of a model's own page. */
export function OverviewTable({ address }: { address: (name: string) => string }) {
  const overviews = useOverviews();
  return (
    <Loaded of={overviews}>
      {(reply) =>
        reply.overviews.length === 0 ? (
          <section className="empty">
            <h3>No model is served</h3>
            <p>
              Open a <a href="#/models">registered model</a> and enable serving on its Serving tab.
            </p>
          </section>
        ) : (
          <Rows overviews={reply.overviews} address={address} />
        )
      }
    </Loaded>
  );
}

function Rows({ overviews, address }: { overviews: Overview[]; address: (name: string) => string }) {
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col">Status</th>
            <th scope="col">Versions ready</th>
            <th scope="col">Replicas ready</th>
            <th scope="col">Requests</th>
            <th scope="col">Details</th>
          </tr>
        </thead>
        <tbody>
          {overviews.map((overview) => (
            <tr key={overview.registered_model_name}>
              <td>
                <a href={address(overview.registered_model_name)}>{overview.registered_model_name}</a>
              </td>
              <td className="nowrap">
                <Status of={overview} />
              </td>
              <td>
                {overview.versions.filter((one) => one.tone === "ready").length} of {overview.versions.length}
              </td>
              <td>
                {sum(overview.versions.map((one) => one.ready_replicas))} of{" "}
                {sum(overview.versions.map((one) => one.replicas))}
              </td>
              <td className="nowrap">{sum(overview.versions.map((one) => one.requests)).toLocaleString()}</td>
              <td className="message">{overview.state_message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const sum = (numbers: number[]): number => numbers.reduce((total, one) => total + one, 0);
