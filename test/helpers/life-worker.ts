/** Worker: trains without end, or ends itself in mid-step by process.exit() or a thrown error. */
import { parentPort, workerData } from 'node:worker_threads'
import { computeThreads } from '../../lib/model/index.js'
import { adamw, smallBatch, smallModel } from './small-model.js'

async function main(): Promise<void> {
  const model = await smallModel({}, { hiddenSize: 128, heads: 4, layers: 3, intermediateSize: 512 })
  computeThreads(2)
  const optimizer = await adamw(model)
  const batch = smallBatch(1, new Array<number>(16).fill(32))
  for (let step = 0; ; step++) {
    const asked = [model.step(batch), model.step(batch), optimizer.step({ learningRate: 1e-3 })]
    if (step === 2) {
      parentPort!.postMessage('running')
      if (workerData.end === 'exit') setTimeout(() => process.exit(6), 20)
      if (workerData.end === 'throw') {
        setTimeout(() => {
          throw new Error('thrown in the worker')
        }, 20)
      }
    }
    await Promise.all(asked)
  }
}

void main()
