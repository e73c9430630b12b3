// The parts of Apache ECharts that are bundled.
import { CustomChart, LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TitleComponent, TooltipComponent, VisualMapContinuousComponent } from "echarts/components";
import { init, use, type EChartsType } from "echarts/core";
import { LabelLayout } from "echarts/features";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

use([
  CanvasRenderer,
  CustomChart,
  GridComponent,
  LabelLayout,
  LegendComponent,
  LineChart,
  MarkLineComponent,
  ScatterChart,
  SVGRenderer,
  TitleComponent,
  TooltipComponent,
  VisualMapContinuousComponent,
]);

/** An option of ECharts; its own types do not know parts of it that it has. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Option = Record<string, any>;

// Without quotes: they would end the attribute of a saved SVG in which it stands.
export const FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif";

export type Chart = EChartsType;

/** Draws on a canvas; tooltips are drawn, too, so that a name in them is never markup. */
export function chart(home: HTMLElement): Chart {
  return init(home, null, { renderer: "canvas" });
}

export function png(option: Option, width: number, height: number): string {
  const home = document.createElement("div");
  const drawn = init(home, null, { renderer: "canvas", width, height });
  drawn.setOption(option);
  const url = drawn.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: "#ffffff" });
  drawn.dispose();
  return url;
}

export function svg(option: Option, width: number, height: number): string {
  const drawn = init(null, null, { renderer: "svg", ssr: true, width, height });
  drawn.setOption({ backgroundColor: "#ffffff", ...option });
  const text = drawn.renderToSVGString();
  drawn.dispose();
  return text;
}
