import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { openRecipe, runRecipe } from '../lib/recipes/index.js'
import { findLibtorch } from '../lib/runtime/index.js'
import { runCli, runScript } from './helpers/cli-process.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

const root = resolve(__dirname, '..')

/** Runs a script of the repository as its first line says, with a cache of its own for text but the libtorch of this process. */
function run(script: string, args: string[], cwd: string) {
  const libtorch = findLibtorch().tree?.directory
  const env = { XDG_CACHE_HOME: join(cwd, 'cache'), OMP_NUM_THREADS: '1', STRATABERT_LIBTORCH: libtorch }
  return runScript(join(root, script), args, { cwd, env })
}

describe('examples and demo', function () {
  this.timeout(180_000)
  let folder: string
  let corpus: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-examples-'))
    corpus = join(folder, 'text.txt')
    writeSmallCorpus(corpus)
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('pretrain.ts trains and tells every head', async () => {
    const small = [
      'budget.steps=4',
      'encoder.layers=2',
      'encoder.hiddenSize=32',
      'tokenizer.train.vocabSize=400',
      'batch.tokens=256',
      'evaluation.documents=3',
    ]
    const { code, stdout, stderr } = await run('examples/pretrain.ts', [corpus, 'run', 'device=cpu', ...small], folder)
    assert.equal(code, 0, stderr)
    for (const head of ['bshift', 'bshiftToken', 'mlm', 'nsp']) assert.match(stdout, new RegExp(`^${head} +2 `, 'm'))
    assert.match(stderr, /completed at step 4/)
    assert.ok(existsSync(join(folder, 'run/checkpoints/step-4/model.safetensors')))
  })

  it('embed.ts prints a cosine for each sentence', async () => {
    const recipe = await openRecipe('bert-pretrain', { overlay: tinyValues(corpus, { budget: { steps: 1 } }) })
    await runRecipe(recipe, { output: join(folder, 'model'), cacheDirectory: join(folder, 'cache/stratabert/corpora') })
    const { code, stdout, stderr } = await run(
      'examples/embed.ts',
      ['model', 'A man rides.', 'A man rides.', 'Rivers are long.'],
      folder,
    )
    assert.equal(code, 0, stderr)
    const lines = stdout.trimEnd().split('\n')
    assert.equal(lines.length, 2)
    assert.match(lines[0], /^1\.0000 {2}A man rides\.$/)
  })

  it('semantic-search.ts fills its store and finds a sentence by itself', async () => {
    const sentences = [
      'A man rides a horse.',
      'Rivers are long.',
      'The city lies at a river.',
      'He was born in London.',
    ]
    writeFileSync(join(folder, 'sentences.txt'), `${sentences.join('\n')}\n\n`)
    const args = ['model', 'sentences.txt', 'store.db', sentences[2]]
    const { code, stdout, stderr } = await run('examples/semantic-search.ts', args, folder)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^4 sentences in [\d.]+ s/)
    const found = stdout.trimEnd().split('\n').slice(3)
    assert.equal(found[0], `1.0000  ${sentences[2]}`)
    assert.deepEqual(found.map((line) => line.slice(8)).sort(), [...sentences].sort())
  })

  it('worker-pool.mjs tells a sentence of every document', async () => {
    const { code, stdout, stderr } = await run('examples/worker-pool.mjs', ['model', 'text.txt', '2'], folder)
    assert.equal(code, 0, stderr)
    const lines = stdout.trimEnd().split('\n')
    assert.equal(lines.length, 40)
    for (const line of lines) assert.match(line, /^[01]\.\d{3} {2}\S.*: \S/)
    assert.match(stderr, /^\d+ batches of \d+ tokens; half of the calls took at most \d+ ms$/m)
  })

  it('own-loop.ts lowers the masked-LM loss', async () => {
    const { code, stdout, stderr } = await run('examples/own-loop.ts', [corpus, '31'], folder)
    assert.equal(code, 0, stderr)
    const losses = [...stdout.matchAll(/^step (\d+) {2}mlm ([\d.]+) {2}nsp ([\d.]+)$/gm)].map(([, , mlm]) =>
      Number(mlm),
    )
    assert.equal(losses.length, 4)
    // From ln(1024) = 6.93 at the start.
    assert.ok(Math.abs(losses[0] - Math.log(1024)) < 0.25, `${losses}`)
    assert.ok(losses[3] < losses[0] - 0.2, `${losses}`)
  })

  it('every example has fewer than 150 lines and imports what a user can', () => {
    const files = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' })
    const programs = files.filter((name) => /\.(ts|mjs|cjs|html)$/.test(name))
    assert.ok(programs.length >= 12, `${programs}`)
    for (const name of programs) {
      const text = readFileSync(join(root, 'examples', name), 'utf8')
      assert.ok(text.split('\n').length <= 150, `${name} is longer`)
      for (const [, from] of text.matchAll(/from '(\.\.[^']*)'/g)) assert.match(from, /^(\.\.\/)+lib\/index\.js$/, name)
    }
  })

  it('recipe.yaml resolves', async () => {
    const { code, stdout } = await runCli(['recipes', 'show', join(root, 'examples/recipe.yaml'), '--json'])
    assert.equal(code, 0)
    assert.deepEqual(JSON.parse(stdout).budget, { hours: 0.5 })
  })

  it('recipe-tasks.yaml resolves to both stages of three tasks', async () => {
    const { code, stdout } = await runCli(['recipes', 'show', join(root, 'examples/recipe-tasks.yaml'), '--json'])
    assert.equal(code, 0)
    const { tasks, stages } = JSON.parse(stdout)
    assert.deepEqual(Object.keys(tasks).sort(), ['moods', 'snli', 'upos'])
    assert.deepEqual(
      stages.map(({ name, startFrom }: { name: string; startFrom?: string }) => [name, startFrom]),
      [
        ['together', undefined],
        ['alone', 'together'],
      ],
    )
  })

  it('fine-tune-csv.ts scores the held-out rows and classifies texts', async () => {
    const table = join(root, 'examples/data/reviews.csv')
    const { code, stdout, stderr } = await run(
      'examples/fine-tune-csv.ts',
      ['model', table, 'review', 'mood', 'moods', 'A lovely soup.', 'A rude waiter.'],
      folder,
    )
    assert.equal(code, 0, stderr)
    const lines = stdout.trimEnd().split('\n')
    assert.match(lines[0], /^[01]\.\d{3} of 8 held-out rows are right$/)
    // The more probable of two classes.
    assert.match(lines[1], /^(good|bad) {2}(0\.[5-9]\d\d|1\.000) {2}A lovely soup\.$/)
    assert.match(lines[2], /^(good|bad) {2}(0\.[5-9]\d\d|1\.000) {2}A rude waiter\.$/)
  })

  it('multi-task.ts tells scores, the learned mix and the adapters', async () => {
    const { code, stdout, stderr } = await run('examples/multi-task.ts', ['model', 'multi', '2'], folder)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^snli: accuracy 0\.\d{3} on 600 labels$/m)
    assert.match(stdout, /^upos: accuracy 0\.\d{3} on 2\d{3} labels$/m)
    const shares = /^shares of layers 1 … 2: ([\d.]+) ([\d.]+)$/m.exec(stdout)!.slice(1).map(Number)
    assert.ok(Math.abs(shares[0] + shares[1] - 1) < 0.002 && shares[1] > shares[0], `${shares}`)
    // V^E and V^D once, three projections a layer: (32 · 24 + 24) + (24 · 32 + 32) + 2 · 3 (24² + 24).
    for (const task of ['snli', 'upos'])
      assert.match(stdout, new RegExp(`^adapter ${task}: pal 24, 5192 parameters$`, 'm'))
  })

  it('the demo, shortened, ends in tables of all runs, filled masks, tags, classes and what to try next', async () => {
    const { code, stdout, stderr } = await run('scripts/demo.ts', ['--steps', '2', '--output', 'demo'], folder)
    assert.equal(code, 0, stderr)
    for (const [run, heads] of Object.entries({
      'bert-pretrain': { mlm: 4, nsp: 4, bshift: 4 },
      'hierarchical-pretrain': { mlm: 4, nsp: 2, bshift: 2 },
    })) {
      for (const [head, layer] of Object.entries(heads))
        assert.match(stdout, new RegExp(`^ +${run} +${head} +${layer} `, 'm'))
      assert.match(stdout, new RegExp(`${run} +He was born in the \\[MASK\\] of London\\. +→ +\\S+ 0\\.\\d\\d`))
      assert.ok(existsSync(join(folder, 'demo', run, 'latest')))
    }
    assert.match(stdout, /^ +upos +2\d{3} +\d\.\d{3} +0\.\d{3} +0\.\d{3}…0\.\d{3} +0\.1\d\d \(NOUN\)$/m)
    assert.match(stdout, /^ +snli +600 +\d\.\d{3} +0\.\d{3} +0\.\d{3}…0\.\d{3} +0\.3\d\d \(entailment\)$/m)
    assert.match(stdout, /^ +upos +The\/[A-Z]+ old\/[A-Z]+ man\/[A-Z]+ /m)
    assert.match(stdout, /^ +snli +A man is playing .* → +(entailment|neutral|contradiction) 0\.\d\d, /m)
    assert.ok(existsSync(join(folder, 'demo/two-tasks/latest')))
    assert.match(stdout, /What to try next:\n +npx stratabert evaluate /)
  })
})
