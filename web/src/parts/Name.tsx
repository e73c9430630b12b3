// A name that breaks after its dots, not in the middle of a word.
import { shown } from "../words";

export function Name({ text }: { text: string }) {
  return (
    <>
      {shown(text)
        .split(/(?<=[._/])(?![._/])/)
        .map((part, index) => [index > 0 && <wbr />, part])}
    </>
  );
}
