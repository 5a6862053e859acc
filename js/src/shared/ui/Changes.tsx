/** What a change will do, before it is applied; nothing when nothing is changed. */
export function Changes({ list }: { list: string[] }) {
  if (list.length === 0) return null;
  return (
    <section aria-label="Changes" className="split">
      <h4>What changes</h4>
      <ul>
        {list.map((one) => (
          <li key={one}>{one}</li>
        ))}
      </ul>
    </section>
  );
}
