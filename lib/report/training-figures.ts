/** Figures of training runs: losses, learning rate, gradient norm, held-out scores. Runs share a figure where they log the same quantity. */
import { isDeepStrictEqual } from 'node:util'
import { type Curve, curveTable, describeCurves, figureId, type Reading, thinningNote, toPoints } from './curves.js'
import type { LineFigure } from './figure.js'
import type { LoggedNumber } from './read-file.js'
import type { RunInput } from './run-input.js'

const SMOOTHED = 'Thick: exponential moving average, its weight set by Smoothing. Thin: the logged values.'

/** The whole loss first, then every head's. */
export function lossFigures(runs: readonly RunInput[]): LineFigure[] {
  const heads = unionOf(runs, (run) => run.steps.flatMap(({ losses }) => Object.keys(losses)))
  const whole = curvesOf(runs, (run) => run.steps.map(({ step, loss }) => ({ step, value: loss })))
  const ofHead = (head: string) =>
    curvesOf(runs, (run) =>
      run.steps.flatMap(({ step, losses }) => (Object.hasOwn(losses, head) ? { step, value: losses[head].loss } : [])),
    )
  const figures = [
    lossFigure('Training loss: weighted sum of all heads', 'loss', whole, figureId('loss')),
    ...heads.map((head) => lossFigure(`Training loss: ${head}`, `${head} loss`, ofHead(head), figureId('loss', head))),
  ]
  const drawn = figures.filter(({ series }) => series.length > 0)
  // With one head of weight 1 the sum is the head's own curve.
  const [sum, only, ...more] = drawn
  return only && more.length === 0 && isDeepStrictEqual(sum.series, only.series) ? [only] : drawn
}

function lossFigure(title: string, label: string, curves: Curve[], id: string): LineFigure {
  return {
    ...curveFigure({ id, title, label, unit: 'mean loss, nats', curves }),
    smoothed: true,
    caption: [SMOOTHED, thinningNote(curves)].filter(Boolean).join(' '),
    borders: stageBorders(curves),
  }
}

export function rateFigures(runs: readonly RunInput[]): LineFigure[] {
  const quantities = [
    { key: 'learningRate', title: 'Learning rate', unit: 'learning rate', include: [0] },
    { key: 'gradNorm', title: 'Gradient norm before clipping', unit: 'global norm of the last step', smoothed: true },
    { key: 'tokensPerSecond', title: 'Speed', unit: 'tokens a second', include: [0] },
  ] as const
  return quantities.flatMap(({ key, title, unit, ...more }) => {
    const curves = curvesOf(runs, (run) => run.steps.map((line) => ({ step: line.step, value: line[key] })))
    if (curves.length === 0) return []
    const smoothed = 'smoothed' in more
    const caption = [smoothed && SMOOTHED, thinningNote(curves)].filter(Boolean).join(' ')
    const include = 'include' in more ? [...more.include] : undefined
    return { ...curveFigure({ id: figureId(key), title, label: unit, unit, curves }), smoothed, include, caption }
  })
}

/** Held-out accuracy and loss by head; a task's main metric and loss by split; the mean over tasks. */
export function scoreFigures(runs: readonly RunInput[]): LineFigure[] {
  const heads = unionOf(runs, (run) => run.evaluations.flatMap(({ scores }) => Object.keys(scores)))
  const ofHead = heads.flatMap((head) =>
    (['accuracy', 'loss'] as const).map((score) => {
      const curves = evaluationCurves(runs, ({ scores }) =>
        Object.hasOwn(scores, head) ? scores[head][score] : undefined,
      )
      const unit = score === 'loss' ? 'mean loss, nats' : 'share of right labels'
      return scoreFigure(`Held-out ${score}: ${head}`, `${head} ${score}`, unit, curves)
    }),
  )
  const splits = unionOf(runs, (run) =>
    run.evaluations.flatMap(({ tasks }) =>
      Object.entries(tasks).flatMap(([task, of]) => Object.keys(of).map((split) => JSON.stringify([task, split]))),
    ),
  ).map((pair) => JSON.parse(pair) as [task: string, split: string])
  const ofTask = splits.flatMap(([task, split]) => {
    const at = (line: RunInput['evaluations'][number]) => line.tasks[task]?.[split]
    const metrics = unionOf(runs, (run) => run.evaluations.flatMap((line) => Object.keys(at(line)?.metrics ?? {})))
    const name = splits.some((other) => other[0] === task && other[1] !== split) ? `${task}, ${split}` : task
    return [
      ...metrics.map((metric) =>
        scoreFigure(
          `Score: ${name}, ${metric}`,
          metric,
          metric,
          evaluationCurves(runs, (line) => at(line)?.metrics[metric]),
        ),
      ),
      scoreFigure(
        `Held-out loss: ${name}`,
        'loss',
        'mean loss',
        evaluationCurves(runs, (line) => at(line)?.loss),
      ),
    ]
  })
  const tasks = new Set(splits.map(([task]) => task))
  const mean = evaluationCurves(runs, (line) => line.mean)
  const ofMean = tasks.size > 1 ? [scoreFigure("Mean of the tasks' main metrics", 'mean', 'mean', mean)] : []
  return [...ofMean, ...ofTask, ...ofHead].filter(({ series }) => series.length > 0)
}

function scoreFigure(title: string, label: string, unit: string, curves: Curve[]): LineFigure {
  return { ...curveFigure({ id: figureId('score', title), title, label, unit, curves }), caption: thinningNote(curves) }
}

function evaluationCurves(
  runs: readonly RunInput[],
  read: (line: RunInput['evaluations'][number]) => LoggedNumber | undefined,
): Curve[] {
  return curvesOf(runs, (run) =>
    run.evaluations.flatMap((line) => {
      const value = read(line)
      return value === undefined ? [] : { step: line.step, value }
    }),
  )
}

interface CurveFigure {
  id: string
  title: string
  /** Of the table's column. */
  label: string
  /** Of the axis. */
  unit: string
  curves: Curve[]
}

function curveFigure({ id, title, label, unit, curves }: CurveFigure): LineFigure {
  return {
    kind: 'lines',
    id,
    title,
    description: describeCurves(curves, `${title} over optimiser steps`),
    xLabel: 'optimiser step',
    yLabel: unit,
    series: curves.map(({ run, readings, colour }) => ({ name: run, points: toPoints(readings), colour })),
    table: curveTable(curves, label),
  }
}

function curvesOf(runs: readonly RunInput[], read: (run: RunInput) => Reading[]): Curve[] {
  return runs
    .map((run) => ({
      run: run.name,
      colour: run.colour,
      readings: read(run),
      metricsPath: run.metricsPath,
      stages: stagesOf(run),
    }))
    .filter(({ readings }) => readings.length > 0)
}

/** Where a run's later stages begin. */
function stagesOf(run: RunInput): { x: number; label: string }[] {
  const stages = run.events.filter(({ type }) => type === 'stage')
  const borders = stages.map(({ step, stage }) => ({ x: step, label: String(stage) }))
  // A resumed run announces its stage again.
  return borders.filter(({ label }, i) => i > 0 && label !== borders[i - 1].label)
}

/** Of one run; several runs' stages would cut each other's curves. */
function stageBorders(curves: readonly (Curve & { stages?: { x: number; label: string }[] })[]) {
  return curves.length === 1 ? curves[0].stages : undefined
}

/** Every name that any run has, in the order of first mention. */
export function unionOf(runs: readonly RunInput[], names: (run: RunInput) => string[]): string[] {
  return [...new Set(runs.flatMap(names))]
}
