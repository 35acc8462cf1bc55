/** What pruning leaves: the share of weights over time, and by layer. */
import { brief, type Curve, curveTable, describeCurves, figureId, limitRows, thinningNote, toPoints } from './curves.js'
import type { Cell, LineFigure } from './figure.js'
import { finite } from './read-file.js'
import type { RunInput, StepLine } from './run-input.js'

type PrunedLine = StepLine & { pruning: NonNullable<StepLine['pruning']> }

const prunedLines = (run: RunInput): PrunedLine[] =>
  run.steps.filter((line): line is PrunedLine => line.pruning !== undefined)

export function pruningFigures(runs: readonly RunInput[]): LineFigure[] {
  const pruned = runs.filter((run) => prunedLines(run).length > 0)
  if (pruned.length === 0) return []
  const byLayer = pruned.flatMap((run) => layersOverTime(run, runs.length > 1) ?? [])
  const final = finalByLayer(pruned)
  return [densityFigure(pruned), ...byLayer, ...(final ? [final] : [])]
}

function densityFigure(runs: readonly RunInput[]): LineFigure {
  const curvesOf = (
    suffix: string,
    read: (line: PrunedLine) => PrunedLine['pruning']['density'] | undefined,
  ): Curve[] =>
    runs
      .map((run) => ({
        run: `${run.name}${suffix}`,
        colour: run.colour,
        metricsPath: run.metricsPath,
        readings: prunedLines(run).flatMap((line) => {
          const value = read(line)
          return value === undefined ? [] : { step: line.step, value }
        }),
      }))
      .filter(({ readings }) => readings.length > 0)
  const reached = curvesOf('', ({ pruning }) => pruning.density)
  const asked = curvesOf(', target', ({ pruning }) => pruning.targetDensity)
  const title = 'Pruning: share of weights that are left'
  const curves = [...reached, ...asked]
  return {
    kind: 'lines',
    id: figureId('density'),
    title,
    description: describeCurves(curves, `${title}, over optimiser steps`),
    xLabel: 'optimiser step',
    yLabel: 'density',
    include: [0, 1],
    series: [
      ...reached.map(({ run, readings, colour }) => ({ name: run, points: toPoints(readings), colour })),
      ...asked.map(({ run, readings, colour }) => ({ name: run, points: toPoints(readings), colour, dashed: true })),
    ],
    caption: [asked.length > 0 && "Dashed: the schedule's target.", thinningNote(curves)].filter(Boolean).join(' '),
    table: curveTable(curves, 'density'),
  }
}

const layersOf = (line: PrunedLine | undefined): string[] => Object.keys(line?.pruning.byLayer ?? {})

function layersOverTime(run: RunInput, nameRun: boolean): LineFigure | undefined {
  const lines = prunedLines(run)
  const layers = layersOf(lines.at(-1))
  if (layers.length === 0) return undefined
  const title = `Pruning: density by layer over time${nameRun ? `, ${run.name}` : ''}`
  const at = (line: PrunedLine, layer: string) => line.pruning.byLayer?.[layer] ?? 'NaN'
  const curves: Curve[] = layers.map((layer) => ({
    run: `layer ${layer}`,
    metricsPath: run.metricsPath,
    readings: lines.map((line) => ({ step: line.step, value: at(line, layer) })),
  }))
  const columns = [
    { label: 'step', numeric: true },
    ...layers.map((layer) => ({ label: `layer ${layer}`, numeric: true })),
  ]
  const rows = lines.map((line): Cell[] => [line.step, ...layers.map((layer) => at(line, layer))])
  return {
    kind: 'lines',
    id: figureId('density-by-layer', run.folder),
    title,
    description: describeCurves(curves, title),
    xLabel: 'optimiser step',
    yLabel: 'density',
    colours: 'ramp',
    include: [0, 1],
    series: curves.map(({ run: name, readings }) => ({ name, points: toPoints(readings) })),
    caption: thinningNote(curves),
    table: limitRows({ columns, rows }, run.metricsPath),
  }
}

function finalByLayer(runs: readonly RunInput[]): LineFigure | undefined {
  const last = runs.flatMap((run) => {
    const line = prunedLines(run).at(-1)
    return line && layersOf(line).length > 0 ? { name: run.name, colour: run.colour, line, layers: layersOf(line) } : []
  })
  if (last.length === 0) return undefined
  const title = 'Pruning: density by layer at the end'
  const told = last.map(({ name, line, layers }) => {
    const shares = layers.map((layer) => `layer ${layer} ${brief(line.pruning.byLayer?.[layer])}`)
    return `${name}: ${shares.join(', ')}`
  })
  return {
    kind: 'lines',
    id: figureId('final-density'),
    title,
    description: `${title}. ${told.join('; ')}.`,
    xLabel: 'layer',
    yLabel: 'density',
    wholeX: true,
    include: [0],
    series: last.map(({ name, colour, line, layers }) => ({
      name,
      colour,
      points: { x: layers.map(Number), y: layers.map((layer) => finite(line.pruning.byLayer?.[layer])) },
    })),
    table: {
      columns: [
        { label: 'run' },
        { label: 'step', numeric: true },
        { label: 'layer', numeric: true },
        { label: 'density', numeric: true },
      ],
      rows: last.flatMap(({ name, line, layers }) =>
        layers.map((layer): Cell[] => [name, line.step, Number(layer), line.pruning.byLayer?.[layer] ?? null]),
      ),
    },
  }
}
