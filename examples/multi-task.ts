/**
 * Two tasks on one encoder, each with an adapter of its own in every block (PALs). Entailment reads a learned mix of the layers
 * (BERMo), parts of speech a layer in the middle. Prints scores, the learned mix and what the adapters add.
 *
 * Usage: npx tsx examples/multi-task.ts CHECKPOINT RUN [STEPS]
 */
import { resolve } from 'node:path'
import {
  createProgressLine,
  defineRecipe,
  listAdapters,
  openRecipe,
  resolveCheckpoint,
  runRecipe,
  TrainingEvents,
} from '../lib/index.js' // yours: from 'stratabert'

const DATA = resolve(__dirname, 'data')

async function main([checkpoint, run, steps = '200']: string[]): Promise<void> {
  const values = defineRecipe({
    extends: 'pals',
    init: checkpoint,
    data: { upos: `${DATA}/upos`, snli: `${DATA}/snli` },
    adapter: { kind: 'pal', size: 24, heads: 2 },
    mixes: { layers: { init: 'last' } },
    tasks: {
      snli: { head: { mix: 'layers' } },
      upos: { head: { layer: 'half' }, weight: 0.5 },
    },
    sampler: { kind: 'sqrt' },
    batch: { sequenceTokens: 64 },
    optimizer: { learningRate: 5e-4, rateFactors: { 'mixes.': 20 } },
    budget: { steps: Number(steps) },
    evaluation: { everySteps: 0 },
    checkpoint: { everySteps: 0, keep: 1 },
  })
  let learned: readonly number[] = []
  const events = new TrainingEvents().addLogger(createProgressLine()).on('evaluation', ({ mixes }) => {
    learned = mixes?.layers.weights ?? []
  })
  const { stages } = await runRecipe(await openRecipe(values), { output: run, events, handleSignals: true })
  for (const [task, { dev }] of Object.entries(stages[0].tasks)) {
    console.log(`${task}: accuracy ${dev.metrics.accuracy.toFixed(3)} on ${dev.count} labels`)
  }
  console.log(`shares of layers 1 … ${learned.length}: ${learned.map((share) => share.toFixed(3)).join(' ')}`)
  const { folder } = await resolveCheckpoint(run)
  for (const { adapter, parameters } of await listAdapters(folder)) {
    console.log(`adapter ${adapter.name}: ${adapter.kind} ${adapter.size}, ${parameters} parameters`)
  }
}

main(process.argv.slice(2))
