/** Training step by step as transformers + torch.optim train: 300 steps, fp32, dropout 0 (test/golden/loss_curve.py). */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { readBatchFile } from '../benchmarks/batch-file.js'
import { encoderConfig } from '../lib/model/config.js'
import { computeThreads, Model, Optimizer } from '../lib/model/index.js'
import { parameterGroups } from '../lib/training/index.js'
import { type LossCurve, writeFormula } from './golden/golden.js'

describe('loss curve of 300 steps', () => {
  it('stays within 1e-3 of the PyTorch loop at every step', async function () {
    this.timeout(180_000)
    computeThreads(1)
    const { settings, heads, losses } = JSON.parse(
      readFileSync(path.join(__dirname, 'golden/loss_curve.json'), 'utf8'),
    ) as LossCurve
    const batches = readBatchFile(path.join(__dirname, 'golden/loss-curve-batches.safetensors.gz'))
    assert.equal(batches.length, 300)
    const config = { encoder: encoderConfig(settings.encoder), heads }
    await using model = await Model.create(config, { precision: 'fp32', device: 'cpu' })
    await writeFormula(model, () => true)
    await using optimizer = await Optimizer.create(model, {
      kind: 'adamw',
      beta1: settings.beta1,
      beta2: settings.beta2,
      epsilon: settings.epsilon,
      groups: parameterGroups(model.parameters(), { weightDecay: settings.weightDecay, layerDecay: 1 }),
    })
    let worst = 0
    for (const [step, batch] of batches.entries()) {
      const values = await (await model.step(batch)).read()
      const learningRate = settings.learningRate * Math.min(1, (step + 1) / settings.warmupSteps)
      await optimizer.step({ learningRate, maxGradNorm: settings.maxGradNorm })
      for (const head of heads) {
        const difference = Math.abs(values[head.name].loss - losses[head.name][step])
        assert.ok(
          difference <= 1e-3,
          `step ${step}, ${head.name}: ${values[head.name].loss}, ${losses[head.name][step]}`,
        )
        worst = Math.max(worst, difference)
      }
    }
    // The curve must be one of learning, or equality would say little.
    assert.ok(losses.mlm[0] - losses.mlm[299] > 1)
    console.log(`      largest difference ${worst.toExponential(1)}`)
  })
})
