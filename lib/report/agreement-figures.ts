/** Agreements between chunks (DACBERT, arXiv 2311.04799): the gates over time, and the maps of sentences. */
import type { AgreementsInput } from './agreements-input.js'
import { brief, type Curve, describeCurves, figureId, limitRows, thinningNote, toPoints } from './curves.js'
import type { Cell, Figure, HeatFigure, LineFigure } from './figure.js'
import { finite } from './read-file.js'
import type { RunInput } from './run-input.js'

/** Sentences of one output that are drawn. */
const MOST_SENTENCES = 8

export function agreementFigures(runs: readonly RunInput[], maps: readonly AgreementsInput[]): Figure[] {
  return [...runs.flatMap((run) => gatesOverTime(run, runs.length > 1) ?? []), ...maps.flatMap(mapFigures)]
}

function gatesOverTime(run: RunInput, nameRun: boolean): LineFigure | undefined {
  const lines = run.steps.flatMap(({ step, gates }) => (gates ? { step, gates } : []))
  if (lines.length === 0) return undefined
  const relations = [...new Set(lines.flatMap(({ gates }) => Object.keys(gates)))]
  const title = `Gates of the relations over time${nameRun ? `, ${run.name}` : ''}`
  const curves: Curve[] = relations.map((relation) => ({
    run: relation,
    metricsPath: run.metricsPath,
    readings: lines.flatMap(({ step, gates }) =>
      gates[relation] === undefined ? [] : { step, value: gates[relation] },
    ),
  }))
  const hasGaps = curves.some(({ readings }) => readings.length < lines.length)
  const columns = [{ label: 'step', numeric: true }, ...relations.map((label) => ({ label, numeric: true }))]
  const rows = lines.map(({ step, gates }): Cell[] => [step, ...relations.map((relation) => gates[relation] ?? null)])
  return {
    kind: 'lines',
    id: figureId('gates', run.folder),
    title,
    description: describeCurves(curves, title),
    xLabel: 'optimiser step',
    yLabel: 'gate',
    // A step without the gate leaves a gap.
    series: relations.map((name) => ({
      name,
      points: toPoints(lines.map(({ step, gates }) => ({ step, value: gates[name] ?? 'NaN' }))),
    })),
    include: [0],
    caption: [
      'the factor on what the encoder takes of each submodel.',
      hasGaps && 'A line has a gap where the log has no gate of the relation.',
      thinningNote(curves),
    ]
      .filter(Boolean)
      .join(' '),
    table: limitRows({ columns, rows }, run.metricsPath),
  }
}

function mapFigures({ name, file, report }: AgreementsInput): HeatFigure[] {
  const { sentences } = report
  const drawn =
    sentences.length > MOST_SENTENCES
      ? ` The first ${MOST_SENTENCES} of ${sentences.length} sentences are drawn, agreements.json has all.`
      : ''
  return sentences.slice(0, MOST_SENTENCES).flatMap(({ chunks, relations }, sentence) =>
    Object.entries(relations).map(([relation, probabilities]): HeatFigure => {
      const of = sentences.length > 1 ? `, sentence ${sentence + 1}` : ''
      const title = `Agreement ${relation}: ${name}${of}`
      const columns = [...chunks.map((chunk, index) => `${index + 1} ${chunk}`), 'none']
      const rows = chunks.map((chunk, index) => `${index + 1} ${chunk}`)
      const values = probabilities.map((row) => row.map((value) => (value === null ? null : finite(value))))
      const best = rows.map((row, index) => {
        const highest = values[index].reduce<number>((top, value) => Math.max(top, value ?? 0), 0)
        return `${row} to ${columns[values[index].indexOf(highest)] ?? 'none'} (${brief(highest)})`
      })
      return {
        kind: 'heat',
        id: figureId('agreement', file, relation, String(sentence)),
        title,
        description: `${title}. ${best.join('; ')}.`,
        caption: `"${report.text}" Probability that the row's chunk stands in the relation to the column's.${drawn}`,
        rowLabel: 'chunk',
        columnLabel: 'its head',
        rows,
        columns,
        values,
        format: 'percent',
        domain: [0, 1],
        markHighest: true,
        table: {
          columns: [{ label: 'chunk' }, ...columns.map((label) => ({ label, numeric: true }))],
          rows: rows.map((row, index): Cell[] => [row, ...values[index]]),
          file,
        },
      }
    }),
  )
}
