// A chart of counts over time: uPlot draws the lines, the legend is our own,
// and a table has the same figures.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { exact, short, span } from "../format.ts";
import { theme } from "../state.ts";
import { clock, Num, Time } from "../ui/parts.tsx";
import { most, sums, total, unknown } from "./series.ts";

export interface Line {
  name: string;
  /** A custom property of the style sheet, without its dashes. */
  color: string;
  values: readonly (number | null)[];
  /**
   * Lengths of dash and gap, so that lines differ by more than their colours.
   */
  dash?: readonly number[];
  fill?: boolean;
}

export interface ChartProps {
  label: string;
  start: number;
  step: number;
  lines: readonly Line[];
  height: number;
  /** The values are not counts but levels, so that sums mean nothing. */
  gauge?: boolean;
  /** Charts of one group show the same time under the pointer. */
  group?: string;
}

export function Chart(all: ChartProps) {
  const before = unknown(all.lines.map((line) => line.values));
  const props = useMemo(() => without(all, before), [before, all.start, all.step, ...all.lines.map((line) => line.values)]);
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const at = useSignal<number | null>(null);
  const shape = props.lines.map((line) => line.name).join();
  const look = theme.value;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(props, element, (index) => (at.value = index)), points(props), element);
    };
    draw();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: props.height }));
    resized.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const paper = matchMedia("print");
    for (const colours of [dark, paper]) colours.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      for (const colours of [dark, paper]) colours.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, look, props.height, props.step]);
  useEffect(() => plot.current?.setData(points(props)), [props]);
  return (
    <figure class="chart" aria-label={props.label}>
      <Legend {...props} at={at.value} />
      <div ref={box} class="plot" style={{ height: `${props.height}px` }} role="img" aria-label={summary(props)} />
      <Figures {...props} />
    </figure>
  );
}

/** without leaves out leading steps. */
function without(props: ChartProps, steps: number): ChartProps {
  if (steps === 0) return props;
  const lines = props.lines.map((line) => ({ ...line, values: line.values.slice(steps) }));
  return { ...props, start: props.start + steps * props.step, lines };
}

function points(props: ChartProps): uPlot.AlignedData {
  const length = props.lines[0]?.values.length ?? 0;
  const times = Array.from({ length }, (_, index) => props.start + index * props.step);
  return [times, ...props.lines.map((line) => line.values as (number | null)[])];
}

/**
 * colorOf resolves a custom property, which may depend on the theme, to a
 * colour that a canvas understands.
 */
function colorOf(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  element.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

/** faded makes rgb(1, 2, 3) transparent. */
function faded(color: string, alpha: number): string {
  return color.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

function options(props: ChartProps, element: HTMLElement, point: (index: number | null) => void): uPlot.Options {
  const grid = { stroke: colorOf(element, "line"), width: 1 };
  const axis = { stroke: colorOf(element, "faint"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  return {
    width: element.clientWidth,
    height: props.height,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: {
      drag: { x: false, y: false },
      y: false,
      points: { size: 7, width: 2 },
      ...(props.group === undefined ? {} : { sync: { key: props.group, setSeries: false } }),
    },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(max || 0, 1) * 1.08] } },
    axes: [
      { ...axis, grid: { show: false }, space: 70, size: 26, incrs: minutes, values: (_plot, at, _axis, _space, step) => at.map((time) => moment(time, step)) },
      { ...axis, grid, space: 38, size: 56, incrs: whole, values: (_plot, at) => at.map((n) => short(n)) },
    ],
    series: [{}, ...props.lines.map((line) => series(line, colorOf(element, line.color)))],
    hooks: { setCursor: [(plot) => point(plot.cursor.idx ?? null)] },
  };
}

/** The time axis shows minutes, so that no label comes twice. */
const minutes = [1, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080].map((n) => n * 60);

const day = 86_400;

/** moment labels a tick of the axis: midnight by its date, if the ticks are hours apart. */
function moment(time: number, step: number): string {
  const text = clock.minute(time);
  return step >= day || (step >= day / 4 && text === "00:00") ? clock.date(time) : text;
}

/** Counts are whole numbers, and so are the steps of their axis. */
const whole = Array.from({ length: 40 }, (_, index) => [1, 2, 5][index % 3]! * 10 ** Math.floor(index / 3));

/** With so few steps, each is marked: a line needs two of them. */
const few = 60;

function series(line: Line, color: string): uPlot.Series {
  return {
    label: line.name,
    stroke: color,
    width: 1.75,
    points: { show: (plot) => plot.data[0].length < few, size: 5, width: 0, fill: color },
    spanGaps: true, // one step may be unknown; there is nothing before the server's start
    ...(line.dash ? { dash: [...line.dash] } : {}),
    ...(line.fill ? { fill: faded(color, 0.14) } : {}),
  };
}

/**
 * Legend names the lines, with the counts under the pointer or those of the
 * whole time.
 */
function Legend({ lines, start, step, at, gauge }: ChartProps & { at: number | null }) {
  const moment = at === null ? null : start + at * step;
  return (
    <div class="legend" aria-hidden="true">
      {lines.map((line) => (
        <span key={line.name} class="entry">
          <svg class="swatch" viewBox="0 0 18 6">
            <line x1="1" x2="17" y1="3" y2="3" stroke={`var(--${line.color})`} stroke-width="2.5" stroke-dasharray={line.dash?.join(" ")} />
          </svg>
          {line.name} <Figure n={at === null ? (of(line.values, gauge) ?? 0) : (line.values[at] ?? null)} />
          {!gauge && at !== null && line.values[at] != null && <span>{short(line.values[at] / step)} a second</span>}
        </span>
      ))}
      <span class="moment">{moment === null ? "" : `${span(step)} from ${step * (lines[0]?.values.length ?? 0) > day ? clock.both(moment) : clock.time(moment)}`}</span>
    </div>
  );
}

/** Figure shows a count, or that it is unknown. */
function Figure({ n }: { n: number | null }) {
  return n === null ? <span>not known</span> : <Num n={n} />;
}

/** of sums up values: counts by their sum, levels by the latest. */
function of(values: readonly (number | null)[], gauge = false): number | null {
  return gauge ? (values.findLast((value) => value !== null) ?? null) : total(values);
}

function summary({ label, lines, gauge }: ChartProps): string {
  const parts = lines.map((line) => {
    const most = line.values.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
    return `${line.name} ${exact(of(line.values, gauge) ?? 0)} ${gauge ? "now" : "in all"}, at most ${exact(most)} in a step`;
  });
  return `${label}. ${parts.join("; ")}. A table with the figures follows.`;
}

/**
 * Figures shows the figures of the lines as a table. Twelve rows are enough to
 * show a trend.
 */
function Figures({ label, start, step, lines, gauge }: ChartProps) {
  const open = useSignal(false);
  const size = Math.max(1, Math.ceil((lines[0]?.values.length ?? 0) / 12));
  return (
    <details class="figures" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>Figures</summary>
      {open.value && (
        <div class="wide" tabIndex={0} role="group" aria-label={`Figures: ${label}`}>
          <table>
            <caption>
              {label}, by {span(size * step)}
            </caption>
            <thead>
              <tr>
                <th scope="col">From</th>
                {lines.map((line) => (
                  <th key={line.name} scope="col" class="n">
                    {line.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {sums(start, step, lines.map((line) => line.values), size, gauge ? most : total).map((row) => (
                <tr key={row.start}>
                  <th scope="row">
                    <Time at={row.start} as={step * (lines[0]?.values.length ?? 0) > day ? "both" : "minute"} />
                  </th>
                  {row.values.map((value, index) => (
                    <td key={index} class="n">
                      {value === null ? <span class="faint">not running</span> : <Num n={value} />}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
