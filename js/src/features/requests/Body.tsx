import { Copy } from "../../shared/ui/Copy";
import { pretty } from "../versions/layout";

interface Props {
  title: string;
  /** Null where there is none. */
  text: string | null;
  /** What is missing, and why. */
  note: string | null;
}

/** The body of a request or of an answer. */
export function Body({ title, text, note }: Props) {
  return (
    <div>
      <div className="line">
        <h4>{title}</h4>
        {note && <span className="muted">{note}</span>}
        <span className="grow" />
        {text !== null && <Copy text={text} what={`the ${title.toLowerCase()}`} />}
      </div>
      {text !== null && (
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- long ones scroll
        <pre className="wrapped" tabIndex={0} role="region" aria-label={title}>
          {pretty(text)}
        </pre>
      )}
    </div>
  );
}
