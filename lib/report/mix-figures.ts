/** Learned layer mixes: the share of each layer over time and at the end (BERMo: Kodge & Roy 2021, arXiv 2110.15802). */
import { brief, type Curve, figureId, limitRows, thinningNote, toPoints } from './curves.js'
import type { Cell, LineFigure } from './figure.js'
import { finite, type LoggedNumber } from './read-file.js'
import type { MixLine, RunInput } from './run-input.js'
import { unionOf } from './training-figures.js'

export interface MixOf {
  /** Run or encoder, with the mix's name where that is needed. */
  name: string
  weights: LoggedNumber[]
  gamma?: LoggedNumber
  /** Number of the first layer that takes part. */
  firstLayer: number
}

/** One figure over time a run and mix, then one with the final shares of all. */
export function mixFigures(runs: readonly RunInput[], others: readonly MixOf[] = []): LineFigure[] {
  const names = unionOf(runs, (run) => readingsOf(run).flatMap(({ mixes }) => Object.keys(mixes)))
  const overTime = runs.flatMap((run) => names.flatMap((mix) => mixOverTime(run, mix, runs.length > 1) ?? []))
  const final = [
    ...runs.flatMap((run) => finalMixes(run, names.length > 1 || runs.length === 1, runs.length > 1)),
    ...others,
  ]
  return final.length > 0 ? [...overTime, finalFigure(final)] : overTime
}

/** Evaluations and the run's end carry mixes. */
function readingsOf(run: RunInput): { step: number; mixes: Record<string, MixLine> }[] {
  const end = run.events.findLast(({ type, mixes }) => type === 'end' && typeof mixes === 'object' && mixes !== null)
  const lines = run.evaluations.flatMap(({ step, mixes }) => (mixes ? { step, mixes } : []))
  if (!end || lines.some(({ step }) => step === end.step)) return lines
  return [...lines, { step: end.step, mixes: end.mixes as Record<string, MixLine> }]
}

function mixOverTime(run: RunInput, mix: string, nameRun: boolean): LineFigure | undefined {
  const lines = readingsOf(run).flatMap(({ step, mixes }) => (Object.hasOwn(mixes, mix) ? { step, ...mixes[mix] } : []))
  if (lines.length === 0) return undefined
  const { weights: last, step: lastStep } = lines[lines.length - 1]
  const first = firstLayerOf(run, last.length)
  const title = `Mix ${mix}: share of each layer over time${nameRun ? `, ${run.name}` : ''}`
  const curves: Curve[] = last.map((_, i) => ({
    run: `layer ${first + i}`,
    metricsPath: run.metricsPath,
    readings: lines.map(({ step, weights }) => ({ step, value: weights[i] })),
  }))
  const rows = lines.map(({ step, weights, gamma }): Cell[] => [step, ...weights, gamma])
  const layers = last.map((_, i) => ({ label: `layer ${first + i}`, numeric: true }))
  return {
    kind: 'lines',
    id: figureId('mix', run.folder, mix),
    title,
    description: `${title}. At step ${lastStep}: ${sharesInWords(last, first)}.`,
    xLabel: 'optimiser step',
    yLabel: 'share',
    series: curves.map(({ run: name, readings }) => ({ name, points: toPoints(readings) })),
    colours: 'ramp',
    include: [0],
    caption: ['softmax of the learned weights; the shares sum to 1.', thinningNote(curves)].filter(Boolean).join(' '),
    table: limitRows(
      { columns: [{ label: 'step', numeric: true }, ...layers, { label: 'γ', numeric: true }], rows },
      run.metricsPath,
    ),
  }
}

function finalMixes(run: RunInput, nameMix: boolean, nameRun: boolean): MixOf[] {
  const last = readingsOf(run).at(-1)
  return Object.entries(last?.mixes ?? {}).map(([mix, { weights, gamma }]) => ({
    name: [nameRun && run.name, (nameMix || !nameRun) && mix].filter(Boolean).join(', '),
    weights,
    gamma,
    firstLayer: firstLayerOf(run, weights.length),
  }))
}

function finalFigure(mixes: readonly MixOf[]): LineFigure {
  const title = 'Mixes at the end: share of each layer'
  return {
    kind: 'lines',
    id: figureId('final-mixes'),
    title,
    description: `${title}. ${mixes.map(({ name, weights, firstLayer }) => `${name}: ${sharesInWords(weights, firstLayer)}`).join('; ')}.`,
    xLabel: 'layer',
    yLabel: 'share',
    wholeX: true,
    include: [0],
    series: mixes.map(({ name, weights, firstLayer }) => ({
      name,
      points: { x: weights.map((_, i) => firstLayer + i), y: weights.map(finite) },
    })),
    table: {
      columns: [
        { label: 'mix' },
        { label: 'layer', numeric: true },
        { label: 'share', numeric: true },
        { label: 'γ of the mix', numeric: true },
      ],
      rows: mixes.flatMap(({ name, weights, gamma, firstLayer }) =>
        weights.map((weight, i): Cell[] => [name, firstLayer + i, weight, gamma ?? null]),
      ),
    },
  }
}

const sharesInWords = (weights: readonly LoggedNumber[], first: number): string =>
  weights.map((weight, i) => `layer ${first + i} ${brief(weight)}`).join(', ')

/** The embeddings take part when there is one share more than blocks. */
function firstLayerOf(run: RunInput, shares: number): number {
  const layers = (run.recipe?.encoder as { layers?: unknown } | undefined)?.layers
  return layers === shares - 1 ? 0 : 1
}
