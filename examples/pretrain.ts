/** Pre-trains an encoder in which each task sits at its own layer. Usage: npx tsx examples/pretrain.ts TEXT RUN [KEY=VALUE …] */
import {
  createProgressLine,
  heldOutTable,
  openRecipe,
  overlayOfSetOptions,
  runRecipe,
  TrainingEvents,
} from '../lib/index.js' // yours: from 'stratabert'

async function main([corpus, output, ...changes]: string[]): Promise<void> {
  const recipe = await openRecipe({
    extends: 'hierarchical-pretrain',
    preset: 'lower-nsp+transfer',
    encoder: { layers: 4, hiddenSize: 128 },
    tokenizer: { train: { vocabSize: 2048 } },
    bigramShift: { level: 'both' },
    budget: { steps: 200 },
    data: { corpus },
    ...overlayOfSetOptions(changes),
  })
  const events = new TrainingEvents().addLogger(createProgressLine())
  const { heldOut, checkpoint } = await runRecipe(recipe, { output, events, handleSignals: true })
  console.log(heldOutTable({ held: heldOut }).join('\n'))
  console.log(`checkpoint: ${checkpoint}`)
}

main(process.argv.slice(2))
