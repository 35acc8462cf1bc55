/** What stands on the page, in its order. What no input has is not shown. */
import { stringify } from 'yaml'
import { agreementFigures } from './agreement-figures.js'
import {
  comparedWith,
  comparisonCosts,
  comparisonFigures,
  comparisonRuns,
  comparisonTable,
  comparisonTasks,
  testName,
} from './comparison-figures.js'
import type { Figure } from './figure.js'
import { type FrameOptions, tableHtml } from './figure-html.js'
import { type Html, html } from './html.js'
import type { ReportInputs } from './inputs.js'
import { lastScores } from './last-scores.js'
import { gradientFigure, gradientsOfLayers, layersFigures, mixesOfLayers } from './layers-figures.js'
import { mixFigures } from './mix-figures.js'
import type { Section } from './page-document.js'
import { probeFigures, probeTable } from './probe-figures.js'
import { pruningFigures } from './pruning-figures.js'
import { commandLine, commandsOf, environmentTable, incidents, overviewTable, recipeDifferences } from './run-facts.js'
import type { RunInput } from './run-input.js'
import { lossFigures, rateFigures, scoreFigures } from './training-figures.js'

export function reportSections(inputs: ReportInputs, frame: FrameOptions): Section[] {
  const { runs, layers } = inputs
  const gradients = runs.flatMap(({ name, gradients }) => gradients.map((reading) => ({ ...reading, name })))
  const sections: (Section | undefined)[] = [
    overview(inputs, frame),
    comparisons(inputs, frame),
    probes(inputs, frame),
    figures('layers', 'Layers and attention heads', layersFigures(layers)),
    scores(inputs, frame),
    figures('losses', 'Training losses', lossFigures(runs), smoothingControls),
    figures('rates', 'Learning rate, gradient, speed', [
      ...rateFigures(runs),
      ...gradientFigure(gradients.length > 0 ? gradients : gradientsOfLayers(layers)),
    ]),
    figures('mixes', 'Layer mixes', mixFigures(runs, mixesOfLayers(layers))),
    figures('agreements', 'Agreements between chunks', agreementFigures(runs, inputs.agreements)),
    figures('pruning', 'Pruning', pruningFigures(runs)),
    recipes(inputs, frame),
    environments(inputs, frame),
    reproduce(inputs),
  ]
  return sections.filter((section) => section !== undefined)
}

function figures(id: string, title: string, drawn: readonly Figure[], lead?: Html): Section | undefined {
  return drawn.length > 0 ? { id, title, figures: drawn, lead } : undefined
}

function scores({ runs }: ReportInputs, frame: FrameOptions): Section | undefined {
  const last = lastScores(runs)
  return last && figures('scores', 'Scores', scoreFigures(runs), tableHtml(last, 'last scores', frame))
}

const list = (notes: readonly string[]): Html | false =>
  notes.length > 0 && html`<ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`

const smoothingControls = html`<div class="control" id="smoothing-controls" hidden>
<label for="smoothing">Smoothing</label> <input type="range" id="smoothing" min="0" max="0.99" step="0.01"> <output id="smoothing-value" for="smoothing"></output>
<label><input type="checkbox" id="raw" checked> logged values</label></div>`

function overview({ runs, probes, layers, comparisons, agreements }: ReportInputs, frame: FrameOptions): Section {
  const others = [
    ...probes.map(({ name, report }) => ['probe', name, report.checkpoint, dateOf(report), versionsOf(report)]),
    ...layers.map(({ name, report }) => ['layers', name, report.checkpoint ?? '–', dateOf(report), versionsOf(report)]),
    ...comparisons.map(({ name, report }) => ['compare', name, report.name, dateOf(report), '–']),
    ...agreements.map(({ name, report }) => ['agreements', name, report.checkpoint, '–', '–']),
  ]
  const labels = ['output of', 'folder', 'of', 'date', 'versions']
  const otherTable = { columns: labels.map((label) => ({ label })), rows: others }
  const notes = [
    ...runs.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`)),
    ...layers.flatMap(({ name, report }) => report.notes.map((note) => `${name}: ${note}`)),
  ]
  const happened = incidents(runs)
  return {
    id: 'overview',
    title: 'Overview',
    content: html`${runs.length > 0 && tableHtml(overviewTable(runs), 'runs', frame)}
${others.length > 0 && tableHtml(otherTable, 'outputs', frame)}
${list(notes)}
${happened.rows.length > 0 && html`<h3>What happened</h3>${tableHtml(happened, 'what happened', frame)}`}`,
  }
}

const dateOf = ({ date }: { date?: string }): string => date?.slice(0, 16).replace('T', ' ') ?? '–'

const versionsOf = ({ versions }: { versions?: Record<string, unknown> }): string =>
  Object.entries(versions ?? {})
    .map(([name, version]) => `${name} ${version}`)
    .join(', ') || '–'

function comparisons({ comparisons }: ReportInputs, frame: FrameOptions): Section | undefined {
  if (comparisons.length === 0) return undefined
  return {
    id: 'comparison',
    title: 'Comparison',
    lead: html`${comparisons.map((input) => {
      const [costs, tasks] = [comparisonCosts(input), comparisonTasks(input)]
      return html`<h3>${input.report.name}</h3>
${input.report.description && html`<p>${input.report.description}</p>`}
${tableHtml(comparisonTable(input), `comparison ${input.report.name}`, frame)}
${testName(input) && html`<p class="note">p: ${testName(input)} over seeds against ${comparedWith(input)}, then with Holm's correction over the table's tests.</p>`}
${list([...input.report.notes, ...input.notes, ...input.report.environments])}
${costs && html`<h3>What training cost<span class="unseen">: ${input.report.name}</span></h3>${tableHtml(costs, `what training cost in ${input.report.name}`, frame)}`}
${tasks && html`<p>Trained parameters by task:</p>${tableHtml(tasks, `trained parameters by task in ${input.report.name}`, frame)}`}
<details><summary>Single runs<span class="unseen"> of ${input.report.name}</span></summary>
${tableHtml(comparisonRuns(input), `runs of ${input.report.name}`, frame)}</details>`
    })}`,
    figures: comparisonFigures(comparisons),
  }
}

function probes({ probes }: ReportInputs, frame: FrameOptions): Section | undefined {
  if (probes.length === 0) return undefined
  const notes = probes.flatMap(({ report }) => [
    ...report.tasks.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`)),
    ...report.leftOut.map(({ task, reason }) => `${task} was left out: ${reason}`),
  ])
  return {
    id: 'probes',
    title: 'What each layer knows',
    figures: probeFigures(probes),
    content: html`${probes.map(
      (probe) => html`<h3>Tasks and controls${probes.length > 1 && `: ${probe.name}`}</h3>
${tableHtml(probeTable(probe), `tasks and controls of ${probe.name}`, frame)}`,
    )}${list(notes)}`,
  }
}

/** Of an experiment's runs the first of each variant and step: the others differ in their seed. */
function withoutRepeats(runs: readonly RunInput[]): RunInput[] {
  const seen = new Set<string>()
  return runs.filter(({ experiment }) => {
    const key = experiment && JSON.stringify([experiment.variant, experiment.step])
    return key === undefined || (!seen.has(key) && seen.add(key))
  })
}

function recipes(inputs: ReportInputs, frame: FrameOptions): Section | undefined {
  const runs = withoutRepeats(inputs.runs)
  const known = runs.filter(({ recipe }) => recipe)
  if (known.length === 0) return undefined
  const differences = recipeDifferences(runs)
  const told =
    differences &&
    (differences.rows.length > 0
      ? html`<h3>What differs between the runs</h3>${tableHtml(differences, 'what differs between the runs', frame)}`
      : html`<p>All runs have the same recipe.</p>`)
  return {
    id: 'recipes',
    title: known.length > 1 ? 'Recipes' : 'Recipe',
    content: html`${told}${known.map(
      ({ name, recipe }) => html`<details><summary>Resolved recipe of ${name}</summary>
<pre class="scroll" role="region" tabindex="0" aria-label="Resolved recipe of ${name}">${stringify(recipe)}</pre></details>`,
    )}`,
  }
}

function environments({ runs }: ReportInputs, frame: FrameOptions): Section | undefined {
  const known = withoutRepeats(runs).filter(({ environments }) => environments.length > 0)
  if (known.length === 0) return undefined
  return {
    id: 'environment',
    title: 'Environment',
    content: html`${known.map(
      (run) => html`<details><summary>Versions and machine of ${run.name}</summary>
${tableHtml(environmentTable(run), `versions and machine of ${run.name}`, frame)}</details>`,
    )}`,
  }
}

/** Commands of runs, then of the other outputs. */
function reproduce({ runs, probes, layers, comparisons }: ReportInputs): Section | undefined {
  const own = runs.filter(({ experiment }) => !experiment)
  const commands = [
    ...own.map((run) => ({ name: run.name, lines: commandsOf(run) })),
    ...[...comparisons, ...probes, ...layers].map(({ name, report }) => ({
      name,
      lines: report.command === undefined ? [] : [commandLine(report.command)],
    })),
  ].filter(({ lines }) => lines.length > 0)
  if (commands.length === 0) return undefined
  return {
    id: 'reproduce',
    title: 'How to reproduce',
    content: html`<p>With the same package version, data and seed; on CPU with one thread count the result is the same to the last bit. A run that was
resumed lists each of its starts.</p>
${commands.map(
  ({ name, lines }) => html`<h3>${name}</h3>
<pre class="scroll" role="region" tabindex="0" aria-label="Commands of ${name}">${lines.join('\n\n')}</pre>`,
)}`,
  }
}
