import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import axe, { type AxeResults } from 'axe-core'
import type { Browser } from 'playwright-core'
import { openRecipe, runRecipe } from '../lib/recipes/index.js'
import { agreementFigures } from '../lib/report/agreement-figures.js'
import { comparisonFigures, comparisonRuns, comparisonTable } from '../lib/report/comparison-figures.js'
import { readComparison } from '../lib/report/comparison-input.js'
import { toPoints } from '../lib/report/curves.js'
import { writeReport } from '../lib/report/index.js'
import { readInputs } from '../lib/report/inputs.js'
import { movingAverage } from '../lib/report/page/smoothing.js'
import { probeFigures, probeTable } from '../lib/report/probe-figures.js'
import { readProbes } from '../lib/report/probe-input.js'
import { buildPage } from '../scripts/build-page.js'
import { figureTables, findChromium, type OpenedPage, openPage, startBrowser, tabThrough } from './helpers/browser.js'
import { runHere } from './helpers/cli-here.js'
import { refuses } from './helpers/refuses.js'
import { writeComparison, writeLayers, writeProbes, writeRun } from './helpers/report-inputs.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

/** Of the page: what `evaluate` is given runs there. */
declare const document: any
declare const window: any
declare function getComputedStyle(element: any): Record<string, string>

/** A value that runs where text is taken for markup, in an element, an attribute or a script. */
const HOSTILE = `x'"><script>window.hacked=1</script><img src=x onerror=window.hacked=1></script>`

describe('stratabert report', function () {
  this.timeout(60_000)
  let folder: string
  const at = (...parts: string[]) => join(folder, ...parts)
  const report = (name: string, ...inputs: string[]) =>
    writeReport({ inputs: inputs.map((input) => at(input)), output: at(`${name}.html`) })

  before(() => {
    buildPage()
    folder = mkdtempSync(join(tmpdir(), 'stratabert-report-'))
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  describe('inputs', () => {
    it('what an input lacks is not shown', async () => {
      writeProbes(at('probes-only'))
      const written = await report('probes-only', 'probes-only')
      assert.deepEqual(written.sections, ['overview', 'probes', 'reproduce'])
      mkdirSync(at('bare'))
      writeFileSync(at('bare/metrics.jsonl'), '{"type":"start","step":0}\n{"type":"st')
      const bare = await report('bare', 'bare')
      assert.deepEqual(bare.sections, ['overview'])
      assert.equal(bare.notes.length, 3, bare.notes.join('\n'))
      assert.match(bare.notes[0], /the last line of metrics\.jsonl has no end/)
    })

    it('agreements: the gates of a run over time, and a map a relation and sentence', async () => {
      writeRun(at('dacbert'), { stepFields: (step) => ({ gates: { subj: 0.1 + step / 1000, obj: 0.1 } }) })
      const sentences = [
        {
          chunks: ['the dog', HOSTILE, 'it'],
          relations: {
            subj: [
              [0, 0.9, 0.05, 0.05],
              [0.1, 0, 0.1, 0.8],
              [0, 1, 0, 0],
            ],
            obj: [
              [0, 0, 0, 1],
              [0, 0, 0, 1],
              [0, 0.5, 0, 0.5],
            ],
          },
        },
      ]
      mkdirSync(at('maps'))
      const content = { format: 1, checkpoint: 'runs/dacbert', text: HOSTILE, gates: { subj: 0.2 }, sentences }
      writeFileSync(at('maps/agreements.json'), JSON.stringify(content))
      const { sections } = await report('agreements', 'dacbert', 'maps')
      assert.ok(sections.includes('agreements'))
      const page = readFileSync(at('agreements.html'), 'utf8')
      for (const title of ['Gates of the relations over time', 'Agreement subj: maps', 'Agreement obj: maps'])
        assert.ok(page.includes(title))
      assert.ok(page.includes('1 the dog to 2 x&#39;') && !page.includes(HOSTILE))
      assert.ok(!page.includes('sentences are drawn'))
      const many = Array.from({ length: 9 }, () => sentences[0])
      writeFileSync(at('maps/agreements.json'), JSON.stringify({ ...content, sentences: many }))
      // The gate of one relation is not there at first.
      writeRun(at('late-gate'), { stepFields: (step) => ({ gates: { obj: 0.1, ...(step > 20 && { subj: 0.2 }) } }) })
      const { runs, agreements } = await readInputs([at('late-gate'), at('maps')])
      const [gates, ...maps] = agreementFigures(runs, agreements)
      assert.equal(maps.length, 2 * 8)
      for (const { caption } of maps) assert.match(caption!, / The first 8 of 9 sentences are drawn/)
      assert.ok(gates.kind === 'lines')
      const subj = gates.series.find(({ name }) => name === 'subj')!.points
      assert.deepEqual(
        subj.y,
        subj.x.map((step) => (step > 20 ? 0.2 : null)),
      )
      assert.match(gates.caption!, /gap where the log has no gate/)
      assert.doesNotMatch(gates.caption!, /not finite/)
      writeFileSync(at('maps/agreements.json'), JSON.stringify({ ...content, sentences: [{ chunks: 3 }] }))
      await assert.rejects(report('broken', 'maps'), refuses('BAD_FILE', at('maps/agreements.json')))
    })

    it('a row that is compared with another variant than the baseline names it; what is not finite is said', async () => {
      const row = (variant: string, more = {}) => ({ variant, measure: 'F1', n: 2, mean: 0.5, ...more })
      const run = { seed: 1, status: 'done', values: {}, notFinite: ['F1'] }
      const written = (table: unknown[]) => {
        writeComparison(at('partners'), {
          measures: ['F1'],
          baseline: 'a',
          table,
          variants: [{ name: 'd', runs: [run] }],
        })
        return readComparison(at('partners'), 'partners')
      }
      const [base, plain] = [row('a'), row('b', { difference: 0.1 })]
      const mixed = row('c', { against: 'b', difference: 0.2 })
      const several = await written([base, plain, mixed, row('d', { n: 0, mean: undefined, notFinite: 2 })])
      const [, both] = comparisonFigures([several])
      assert.match(both.title, /^F1: difference between variants, /)
      assert.deepEqual(
        both.rows.map(({ label }) => label),
        ['b − a', 'c − b'],
      )
      const { columns, rows } = comparisonTable(several)
      const against = columns.findIndex(({ label }) => label === 'against')
      assert.deepEqual(
        rows.map((cells) => cells[against]),
        ['–', 'a', 'b', '–'],
      )
      assert.deepEqual(rows[3].slice(2, 4), ['0, 2 more not finite', 'not finite'])
      assert.ok(comparisonRuns(several).rows[0].includes('not finite'))
      const [, only] = comparisonFigures([await written([base, mixed])])
      assert.match(only.title, /^F1: difference from b, /)
      assert.match(comparisonFigures([await written([base, plain])])[1].title, /^F1: difference from a, /)
    })

    it('bootstrap and convergence of a row stand in the table', async () => {
      const row = (variant: string, more = {}) => ({ variant, measure: 'F1', n: 3, mean: 0.5, ...more })
      const table = [
        row('a'),
        row('b', {
          pairs: 2,
          bootstrap: { difference: 0.1, low: 0.05, high: 0.15, draws: 10, layers: 'both' },
          smallestByExamples: 0.08,
          examples: 1043,
          convergenceFactor: 1.5,
          convergence: { interval: [1.2, 2], coverage: 0.5, comparable: 2, notComparable: 1, enoughSeeds: false },
        }),
        row('c', {
          bootstrap: { difference: 0.1, low: 0.05, high: 0.15, draws: 10, layers: 'examples' },
          convergence: { comparable: 0, notComparable: 3, enoughSeeds: false },
        }),
      ]
      writeComparison(at('converged'), { measures: ['F1'], baseline: 'a', table })
      const { columns, rows } = comparisonTable(await readComparison(at('converged'), 'converged'))
      const labels = [
        'pairs',
        'smallest that the set could show (examples)',
        'bootstrap 95 %',
        'convergence factor',
        'comparable seeds',
      ]
      const places = labels.map((label) => columns.findIndex((column) => column.label === label))
      assert.deepEqual(
        rows.map((cells) => places.map((place) => cells[place])),
        [
          ['–', '–', '–', '–', '–'],
          [2, '0.08 (1,043)', '0.05 … 0.15', '1.5 (1.2 … 2, 50 %)', '2 of 3'],
          ['–', '–', '0.05 … 0.15, examples alone', 'not comparable', '0 of 3'],
        ],
      )
    })

    it('intervals and controls of each layer stand beside its accuracy', async () => {
      const of = (layer: number | string, accuracy: number, more = {}) => ({
        ...{
          layer,
          classifier: 'logistic',
          accuracy,
          interval: [accuracy - 0.1, accuracy + 0.1],
          devAccuracy: 0.5,
          ...more,
        },
      })
      const task = { classes: 2, notes: [] }
      writeProbes(at('controlled'), {
        tasks: [
          {
            ...{ ...task, name: 'UPOS', controls: { randomEncoder: [of(0, 0.5), of(1, 0.9, { classifier: 'mlp' })] } },
            cells: [of(0, 0.7, { controlAccuracy: 0.4, selectivity: 0.3 }), of(1, 0.6), of('mix', 0.8)],
          },
          {
            ...task,
            name: 'WC',
            controls: { randomEncoder: [of(0, 0.4), of(1, 0.25)] },
            cells: [of(0, 0.3), of(1, 0.5)],
          },
        ],
      })
      const probe = await readProbes(at('controlled'), 'controlled')
      const [accuracy, above, selectivity] = probeFigures([probe])
      assert.deepEqual(
        [accuracy.title, above.title, selectivity.title],
        ['Accuracy by layer and task', 'Above the random encoder by layer and task', 'Selectivity by layer and task'],
      )
      assert.deepEqual([accuracy.columns, above.columns, selectivity.rows], [['0', '1', 'mix'], ['0', '1'], ['UPOS']])
      // Of the same classifier alone.
      assert.deepEqual(above.values, [
        [0.2, null],
        [-0.1, 0.25],
      ])
      const { columns, rows } = accuracy.table
      assert.deepEqual(
        columns.map(({ label }) => label),
        [
          ...['task', 'layer', 'accuracy', '95 % low', '95 % high', 'on dev'],
          ...['random encoder', 'its 95 % low', 'its 95 % high', 'control task'],
        ],
      )
      assert.deepEqual(rows[0], ['UPOS', 0, 0.7, 0.7 - 0.1, 0.7 + 0.1, 0.5, 0.5, 0.4, 0.6, 0.4])
      assert.deepEqual(rows[2], ['UPOS', 'mix', 0.8, 0.8 - 0.1, 0.8 + 0.1, 0.5, null, null, null, null])
      assert.deepEqual(rows[4].slice(0, 7), ['WC', 1, 0.5, 0.4, 0.6, 0.5, 0.25])
      const listed = probeTable(probe)
      const best = listed.columns.findIndex(({ label }) => label === 'random encoder, its best layer')
      assert.equal(listed.rows[1][best], '0.4 (0.3 … 0.5)')
      assert.match(above.description, /WC is highest at layer 1 \(25\.0\)/)
    })

    it("an experiment's folder brings the curves of its runs, a colour a variant, wherever it was moved to", async () => {
      const names = ['baseline', 'hierarchy']
      const runs = names.flatMap((name) => [1, 2].map((seed) => ({ name, seed, run: `${name}.tune.${seed}.0123` })))
      writeComparison(at('experiment'), {
        command: 'stratabert compare rte.yaml --output experiment',
        costs: [
          { variant: 'baseline', step: 'tune', runs: 2, seconds: 80, examplesPerSecond: 35.9, trainedParameters: 1234 },
        ],
        variants: names.map((name) => ({
          name,
          runs: [1, 2, 3].map((seed) => ({
            seed,
            status: 'done',
            values: {},
            // Where it lay when it was written.
            parts: [
              { step: 'tune', folder: `/gone/runs/${name}.tune.${seed}.0123`, status: seed < 3 ? 'done' : 'missing' },
            ],
          })),
        })),
      })
      for (const { run, seed } of runs) {
        writeRun(at('experiment/runs', run), { steps: 10, stepFields: (step) => ({ gradNorm: 100 * seed + step }) })
      }
      const named = at('experiment/runs', runs[3].run)
      const found = (await readInputs([named, at('experiment')])).runs
      const shown = found.map(({ name, colour }) => [name, colour])
      // The run that is named itself is not there twice, and keeps its name.
      assert.deepEqual(shown, [
        [runs[3].run, 0],
        ['baseline, tune, seed 1', 1],
        ['baseline, tune, seed 2', 1],
        ['hierarchy, tune, seed 1', 2],
      ])
      const written = await report('experiment', 'experiment')
      assert.deepEqual([written.runs, written.notes], [4, []])
      for (const section of ['comparison', 'scores', 'losses']) assert.ok(written.sections.includes(section), section)
      const page = readFileSync(at('experiment.html'), 'utf8')
      assert.match(
        page,
        /<th scope="row">hierarchy, tune, seed 2<\/th><td class="number">10<\/td><td class="number">210<\/td>/,
      )
      assert.match(page, /What training cost/)
      assert.match(page, /stratabert compare rte\.yaml --output experiment/)
      // A recipe a variant and step is enough: the others differ in their seed.
      assert.equal(page.split('<summary>Resolved recipe of ').length - 1, 2)
      rmSync(at('experiment/runs', runs[0].run), { recursive: true })
      const { notes } = await report('experiment', 'experiment')
      assert.deepEqual(notes, ['experiment: baseline, tune, seed 1: its folder is not there, nor are its curves'])
    })

    it('unreadable content is an error with file and line', async () => {
      writeRun(at('broken'))
      const metrics = readFileSync(at('broken/metrics.jsonl'), 'utf8').split('\n')
      const withLine = (line: string) => writeFileSync(at('broken/metrics.jsonl'), metrics.with(4, line).join('\n'))
      withLine('{"type":"step",')
      await assert.rejects(
        report('broken', 'broken'),
        refuses('BAD_FILE', `${at('broken/metrics.jsonl')}:5: is no JSON`),
      )
      withLine('{"type":"step","step":3,"losses":{"mlm":{"loss":"low"}}}')
      await assert.rejects(report('broken', 'broken'), refuses('BAD_FILE', 'metrics.jsonl:5: '))
      writeProbes(at('old'), { format: 2 })
      await assert.rejects(report('old', 'old'), refuses('BAD_FILE', 'probes.json:2: format: '))
      writeProbes(at('old'), { content: 'probing tasks' })
      await assert.rejects(report('old', 'old'), refuses('BAD_FILE', 'content: these are the tasks themselves'))
      writeFileSync(at('old/probes.json'), '{\n  "format": 1,\n  "tasks": [}\n')
      await assert.rejects(report('old', 'old'), refuses('BAD_FILE', 'probes.json:3: is no JSON'))
    })

    it('what is no run is refused, as is replacing a file that is no report', async () => {
      await assert.rejects(report('none', 'nowhere'), refuses('NOT_FOUND', 'nowhere'))
      mkdirSync(at('empty'))
      await assert.rejects(report('none', 'empty'), refuses('BAD_ARGUMENT', 'metrics.jsonl, probes.json, layers.json'))
      writeRun(at('good'))
      const [output, inputs] = [at('good/metrics.jsonl'), [at('good')]]
      await assert.rejects(writeReport({ inputs, output }), refuses('BAD_ARGUMENT', 'exists and is no report'))
      for (const _ of [1, 2]) assert.equal((await report('good', 'good')).runs, 1)
    })

    it('a link to a report stays one, and a pipe takes the page', async function () {
      if (process.platform === 'win32') this.skip()
      writeRun(at('linked'))
      symlinkSync('real.html', at('link.html'))
      for (const _ of [1, 2]) await report('link', 'linked')
      assert.ok(lstatSync(at('link.html')).isSymbolicLink())
      const page = readFileSync(at('real.html'), 'utf8')
      execFileSync('mkfifo', [at('pipe.html')])
      const [read] = await Promise.all([readFile(at('pipe.html'), 'utf8'), report('pipe', 'linked')])
      assert.ok(lstatSync(at('pipe.html')).isFIFO())
      assert.ok(read.length > 0.99 * page.length && read.endsWith(page.slice(-20)))
    })

    it('thinning a curve keeps every spike within its envelope and says so', async () => {
      const readings = Array.from({ length: 10_000 }, (_, i) => ({ step: i + 1, value: i === 4321 ? 99 : 1 + (i % 7) }))
      const { x, y, low, high } = toPoints(readings, 500)
      assert.equal(x.length, 500)
      const stretch = Math.floor(4321 / 20)
      assert.deepEqual([x[stretch], low?.[stretch], high?.[stretch]], [4340, 1, 99])
      const mean = readings.slice(stretch * 20, stretch * 20 + 20).reduce((sum, { value }) => sum + value, 0) / 20
      assert.equal(y[stretch], Number(mean.toPrecision(7)))
      writeRun(at('long'), { steps: 3000, stepFields: (step) => (step === 7 ? { gradNorm: Number.NaN } : {}) })
      await report('long', 'long')
      const page = readFileSync(at('long.html'), 'utf8')
      assert.match(page, /3000 logged values are drawn as 600 stretches/)
      assert.match(page, /300 of 3000 rows, evenly spread.*<a href="long\/metrics\.jsonl">/)
      assert.match(page, /1 value is not finite: the line has a gap there/)
    })

    it('the moving average begins at the first value and skips gaps', () => {
      // By hand: weights 0.5, 0.25 of what was seen, divided by their sum.
      assert.deepEqual(movingAverage([4, null, 8], 0.5), [4, null, (0.5 * 8 + 0.25 * 4) / 0.75])
      assert.deepEqual(movingAverage([1, 2, 3], 0), [1, 2, 3])
    })

    it('the command tells what it wrote', async () => {
      writeRun(at('told'))
      const output = at('told.html')
      const { code, stdout, stderr } = await runHere('report', at('told'), '--output', output, '--json')
      assert.equal(code, 0, stderr)
      const told = JSON.parse(stdout)
      assert.deepEqual([told.output, told.runs, told.bytes], [output, 1, readFileSync(output).length])
      const wrong = await runHere('report', at('empty'), '--output', output)
      assert.equal(wrong.code, 2)
      assert.match(wrong.stderr, /^error\[BAD_ARGUMENT\]: .*is no run/)
    })
  })

  describe('in Chromium', () => {
    let browser: Browser
    let all: OpenedPage

    before(async function () {
      const chromium = findChromium()
      if (!chromium) {
        const reason =
          'no Chromium found: install one (Debian: apt-get install chromium) or name it in STRATABERT_CHROMIUM'
        if (process.env.STRATABERT_NEED_CHROMIUM === '1') throw new Error(reason)
        console.log(`      ${reason}`)
        return this.skip()
      }
      const inputs = [
        writeRun(at('a')),
        writeRun(at('b'), { steps: 700, recipe: { seed: 2 } }),
        writeProbes(at('p')),
        writeLayers(at('l')),
        writeComparison(at('c')),
      ]
      await writeReport({ inputs, output: at('all.html') })
      writeRun(at('a'), { steps: 5 })
      await writeReport({ inputs: inputs.filter((input) => input !== at('b')), output: at('small.html') })
      browser = await startBrowser(chromium)
      all = await openPage(browser, at('all.html'))
    })
    after(() => browser?.close())

    it('the tables of a real run hold the numbers of its metrics.jsonl', async () => {
      writeSmallCorpus(at('text.txt'))
      const overlay = tinyValues(at('text.txt'), {
        evaluation: { everySteps: 2, documents: 4 },
        log: { everySteps: 1 },
        checkpoint: { everySteps: 0 },
      })
      const recipe = await openRecipe('hierarchical-pretrain', { overlay })
      await runRecipe(recipe, { output: at('real'), cacheDirectory: at('cache') })
      await report('real', 'real')
      const { page, complaints } = await openPage(browser, at('real.html'))
      assert.deepEqual(complaints, [])
      const lines = readFileSync(at('real/metrics.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
      const ofType = (type: string) => lines.filter((line) => line.type === type)
      const steps = ofType('step')
      assert.equal(steps.length, 6)
      const heads = [...new Set(steps.flatMap((line) => Object.keys(line.losses)))]
      const expected: Record<string, unknown[][]> = {
        'Gradient norm by layer': ofType('gradients').flatMap(({ stage, step, gradientNorms }) =>
          Object.entries(gradientNorms).map(([layer, norm]) => ['real', stage, step, layer, norm]),
        ),
        'Training loss: weighted sum of all heads': steps.map((line) => [line.step, line.loss]),
        'Learning rate': steps.map((line) => [line.step, line.learningRate]),
        'Gradient norm before clipping': steps.map((line) => [line.step, line.gradNorm]),
        Speed: steps.map((line) => [line.step, line.tokensPerSecond]),
        ...Object.fromEntries(
          heads.map((head) => {
            const logged = steps.filter((line) => head in line.losses)
            return [`Training loss: ${head}`, logged.map((line) => [line.step, line.losses[head].loss])]
          }),
        ),
      }
      for (const head of heads)
        for (const score of ['accuracy', 'loss'])
          expected[`Held-out ${score}: ${head}`] = ofType('evaluation').map((line) => [
            line.step,
            line.scores[head][score],
          ])
      const shown = await figureTables(page)
      assert.deepEqual(Object.keys(shown).sort(), Object.keys(expected).sort())
      for (const [title, values] of Object.entries(expected))
        assert.deepEqual(
          shown[title],
          values.map((row) => row.map(String)),
        )
    })

    it('tables of mixes, pruning, gradients and comparisons hold the numbers of their files', async () => {
      const { page } = await openPage(browser, at('small.html'))
      const shown = await figureTables(page)
      const lines = readFileSync(at('a/metrics.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
      const pruned = lines.filter((line) => line.type === 'step').map(({ step, pruning }) => ({ step, ...pruning }))
      const same = (title: string, rows: unknown[][]) =>
        assert.deepEqual(
          shown[title],
          rows.map((row) => row.map(String)),
          title,
        )
      same('Pruning: share of weights that are left', [
        ...pruned.map(({ step, density }) => ['a', step, density]),
        ...pruned.map(({ step, targetDensity }) => ['a, target', step, targetDensity]),
      ])
      same(
        'Pruning: density by layer over time',
        pruned.map(({ step, byLayer }) => [step, ...Object.values(byLayer)]),
      )
      const mixed = lines
        .filter((line) => line.type === 'evaluation')
        .map(({ step, mixes }) => [step, ...mixes.pooled.weights, mixes.pooled.gamma])
      same('Mix pooled: share of each layer over time', mixed)
      const [{ gradientNorms }] = lines.filter((line) => line.type === 'gradients')
      same(
        'Gradient norm by layer',
        Object.entries(gradientNorms).map(([layer, norm]) => ['a', 'pretrain', 1, layer, norm]),
      )
      const { table } = JSON.parse(readFileSync(at('c/comparison.json'), 'utf8'))
      same(
        'rte.accuracy: mean and 95 % interval',
        table.map((row: any) => [row.variant, row.n, row.mean, ...row.interval]),
      )
      const { tasks } = JSON.parse(readFileSync(at('p/probes.json'), 'utf8'))
      same(
        'Accuracy by layer and task',
        tasks.flatMap((task: any) =>
          task.cells.map(({ layer, accuracy, interval, devAccuracy }: any) => [
            ...[task.name, layer, accuracy, ...interval, devAccuracy],
            task.controls.randomEncoder.find((control: any) => control.layer === layer)?.accuracy ?? '–',
          ]),
        ),
      )
    })

    it('every figure is drawn and has a name, a description and a table; nothing is loaded, nothing complains', async () => {
      const figures = await all.page.$$eval('figure', (elements) =>
        elements.map((figure) => {
          const svg = figure.querySelector('svg.drawing')
          return {
            title: document.getElementById(svg?.getAttribute('aria-labelledby') ?? '')?.textContent ?? '',
            description: document.getElementById(svg?.getAttribute('aria-describedby') ?? '')?.textContent ?? '',
            marks: figure.querySelectorAll(
              '[data-mark=line] path:not([d*=NaN]), [data-mark=dot] circle, [data-mark=cell] rect',
            ).length,
            rows: figure.querySelectorAll('tbody tr').length,
            role: svg?.getAttribute('role'),
          }
        }),
      )
      assert.equal(figures.length, 29)
      for (const { title, description, marks, rows, role } of figures) {
        assert.ok(marks > 0, `${title} has no marks`)
        assert.ok(rows > 0, `${title} has no table`)
        assert.equal(role, 'img')
        assert.ok(title.length > 3 && description.startsWith(title.slice(0, 8)), `${title}: ${description}`)
      }
      assert.equal(
        new Set(figures.map(({ title }) => title)).size,
        figures.length,
        'each figure has a title of its own',
      )
      assert.deepEqual(all.complaints, [])
      assert.deepEqual(
        all.requests.filter((url) => !url.endsWith('/all.html')),
        [],
      )
    })

    it('heat maps print their values; the ring is on the best layer; colours may span a row or all', async () => {
      const figure = all.page.locator('figure', { hasText: 'Accuracy by layer and task' })
      assert.deepEqual(await figure.locator('svg [data-mark=text] text').allTextContents(), [
        ...['91.0', '93.0', '82.0', '70.0', '90.0'],
        ...['50.0', '58.0', '71.0', '79.0', '90.0'],
        ...['78.0', '82.0', '86.0', '85.0', '90.0'],
      ])
      const fills = () =>
        figure
          .locator('svg [data-mark=cell]')
          .first()
          .locator('rect')
          .evaluateAll((cells) => cells.map((cell) => cell.getAttribute('fill')))
      const byRow = await fills()
      // 93.0 is SentLen's highest, 50.0 BShift's lowest.
      assert.match(byRow[1] ?? '', /100\.0%/)
      assert.match(byRow[5] ?? '', / 0\.0%/)
      await figure.locator('select').selectOption('all')
      const overall = await fills()
      assert.match(overall[0] ?? '', new RegExp(`${(100 * (0.91 - 0.5)) / 0.43}`.slice(0, 4)))
      assert.notDeepEqual(overall, byRow)
    })

    it('values from files stay text wherever they stand', async () => {
      const hostile = join(folder, HOSTILE.replaceAll('/', '\u2215'))
      writeRun(hostile, {
        recipe: { name: HOSTILE, [HOSTILE]: HOSTILE },
        stepFields: (step) => ({ losses: { [HOSTILE]: { loss: step } }, loss: 2 * step }),
      })
      writeProbes(at('hostile-probes'), { checkpoint: HOSTILE, command: HOSTILE })
      await writeReport({ inputs: [hostile, at('hostile-probes')], output: at('hostile.html'), title: HOSTILE })
      const { page, complaints } = await openPage(browser, at('hostile.html'))
      assert.equal(await page.evaluate('window.hacked'), undefined)
      assert.equal(await page.locator('script').count(), 2)
      assert.equal(await page.locator('img').count(), 0)
      assert.equal(await page.title(), HOSTILE)
      assert.deepEqual(complaints, [])
      assert.ok((await page.locator('h3').allTextContents()).includes(`Training loss: ${HOSTILE}`))
    })

    it('smoothing redraws, the logged values can be hidden; all of it by keyboard', async () => {
      const { page } = await openPage(browser, at('small.html'))
      const curves = () => page.locator('figure', { hasText: 'Training loss: mlm' }).locator('[data-mark=line] path')
      const before = await curves().evaluateAll((paths) => paths.map((path) => path.getAttribute('d')))
      const reached = await tabThrough(page)
      const focusable = await page.$$eval('a[href], summary, select, input, [tabindex="0"]', (elements) =>
        elements.filter((element) => element.checkVisibility()).map((element) => element.outerHTML.slice(0, 120)),
      )
      assert.deepEqual(reached, focusable, 'the tabulator reaches every control, in the order of the page')
      await page.locator('#smoothing').focus()
      await page.keyboard.press('End')
      assert.equal(await page.locator('#smoothing-value').textContent(), '0.99')
      const smooth = await curves().evaluateAll((paths) => paths.map((path) => path.getAttribute('d')))
      assert.notDeepEqual(smooth, before)
      await page.locator('#raw').focus()
      await page.keyboard.press('Space')
      assert.equal(await curves().count(), smooth.length / 2)
      await page.locator('summary').first().focus()
      await page.keyboard.press('Enter')
      assert.equal(await page.locator('details').first().getAttribute('open'), '')
    })

    it('reads at 400 px and on paper: the page does not scroll sideways, drawings fit', async () => {
      const { page, complaints } = await openPage(browser, at('all.html'), { viewport: { width: 400, height: 800 } })
      const sizes = await page.evaluate(() => ({
        page: document.documentElement.scrollWidth,
        body: document.body.scrollWidth,
        widest: Math.max(...[...document.querySelectorAll('.plot')].map((plot) => plot.getBoundingClientRect().right)),
        smallest: Math.min(
          ...[...document.querySelectorAll('svg text')].map((text) =>
            Number.parseFloat(getComputedStyle(text).fontSize),
          ),
        ),
      }))
      assert.ok(sizes.page <= 400 && sizes.body <= 400 && sizes.widest <= 400, JSON.stringify(sizes))
      assert.ok(sizes.smallest >= 12, `${sizes.smallest} px`)
      await page.setViewportSize({ width: 1000, height: 800 })
      await page.waitForFunction(() => document.querySelector('.lines .drawing')!.getBoundingClientRect().width > 430)
      await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
      assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)')
      assert.equal(await page.locator('nav').isVisible(), false)
      assert.deepEqual(complaints, [])
    })

    for (const colorScheme of ['light', 'dark'] as const)
      it(`${colorScheme}: axe finds nothing`, async () => {
        const { page } = await openPage(browser, at('small.html'), { colorScheme })
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
        assert.equal(ground, colorScheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(20, 23, 28)')
        await page.$$eval('details', (elements) => {
          for (const element of elements.slice(0, 8)) element.open = true
        })
        await page.evaluate(axe.source)
        const violations = await page.evaluate(async () => {
          const { violations, passes } = (await window.axe.run()) as AxeResults
          return {
            found: violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0].html}`),
            passed: passes.length,
          }
        })
        assert.deepEqual(violations.found, [])
        assert.ok(violations.passed > 20)
      })
  })
})
