// "Copy as Python": to the clipboard where there is one, otherwise shown to be copied by hand.
import { useEffect, useState } from "preact/hooks";
import { copied } from "../save";
import { shown } from "../words";

export function Code({ code }: { code: string }) {
  const [told, tell] = useState<"" | "copied" | "shown">("");
  useEffect(() => {
    if (told !== "copied") return undefined;
    const timer = setTimeout(() => tell(""), 2500);
    return () => clearTimeout(timer);
  }, [told]);
  const press = async () => tell(told === "shown" ? "" : (await copied(code)) ? "copied" : "shown");
  return (
    <>
      <button type="button" class="control" onClick={() => void press()} aria-expanded={told === "shown"} title="Lines of Python that lead to what is shown">
        Copy as Python
      </button>
      <span class="told" role="status">
        {told === "copied" ? "Copied" : ""}
      </span>
      {told === "shown" && (
        <pre class="code" tabIndex={0} role="region" aria-label="Python">
          {code.split("\n").map(shown).join("\n")}
        </pre>
      )}
    </>
  );
}
