/**
 * A training loop of one's own on the low-level parts: a masked LM at the top of three layers, next sentence at the second.
 * Usage: npx tsx examples/own-loop.ts TEXT [STEPS]
 */
import {
  encoderConfig,
  Model,
  Optimizer,
  openCorpus,
  parameterGroups,
  prefetch,
  pretrainingSource,
  scheduleFactor,
  trainTokenizer,
} from '../lib/index.js' // yours: from 'stratabert'

async function main([text, stepsText = '40']: string[]): Promise<void> {
  const steps = Number(stepsText)
  const { tokenizer } = await trainTokenizer({ inputs: [text], vocabSize: 1024 })
  const corpus = await openCorpus({ inputs: [text], tokenizer })
  const special = tokenizer.specialTokens
  const heads = { mlm: { name: 'mlm' }, nsp: { name: 'nsp' } }
  const source = pretrainingSource({ corpus, special, heads, batchTokens: 1024, maxSequenceTokens: 64, seed: 1 })

  await using model = await Model.create(
    {
      encoder: encoderConfig({ vocabSize: tokenizer.vocabSize, layers: 3, hiddenSize: 64, heads: 2 }),
      heads: [
        { kind: 'masked-lm', name: 'mlm', tap: { layer: 3 }, weight: 1 },
        { kind: 'next-sentence', name: 'nsp', tap: { layer: 2 }, weight: 1 },
      ],
    },
    { device: 'cpu', seed: 1 },
  )
  const groups = parameterGroups(model.parameters(), { weightDecay: 0.01, layerDecay: 1 })
  const optimizer = await Optimizer.create(model, { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, groups })

  let step = 0
  for await (const { batch } of prefetch(source, { workers: 1 })) {
    const losses = await model.step(batch)
    const factor = scheduleFactor({ kind: 'linear', warmup: 0.1, finalFactor: 0 }, { step, progress: step / steps })
    await optimizer.step({ learningRate: 2e-3 * factor, maxGradNorm: 1 })
    if (step % 10 === 0 || step === steps - 1) {
      const { mlm, nsp } = await losses.read()
      console.log(`step ${step}  mlm ${mlm.loss.toFixed(3)}  nsp ${nsp.loss.toFixed(3)}`)
    }
    if (++step === steps) break
  }
  await optimizer.dispose()
}

main(process.argv.slice(2))
