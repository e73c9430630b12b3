// Starts the page: of the report that is in it, or of the server it came from.
import "./safe";
import { render } from "preact";
import { Header } from "./Header";
import { Page } from "./Page";
import { Boundary, Fault } from "./parts/Boundary";
import "./page.css";
import { read, type Report } from "./report";
import { served } from "./route";
import { Served } from "./Served";

function Saved() {
  const text = document.getElementById("report")?.textContent ?? "";
  let report: Report;
  try {
    report = read(text);
  } catch (error) {
    return <Fault text="The report in this page cannot be read." reason={error instanceof Error ? error.message : String(error)} />;
  }
  return (
    <>
      <Header report={report} saved={text} />
      <Page report={report} />
    </>
  );
}

const home = document.getElementById("page");
if (home) {
  home.replaceChildren();
  render(<Boundary what="The page">{served ? <Served /> : <Saved />}</Boundary>, home);
}
