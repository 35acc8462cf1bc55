/** Three training steps and a vector on the libtorch that STRATABERT_LIBTORCH names, as JSON; then whether its CUDA library opens, as far as that goes without a driver. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadBoot } from '../../lib/runtime/boot.js'
import { findLibtorch } from '../../lib/runtime/index.js'
import { libraryFile } from '../../lib/runtime/platform.js'
import { adamw, smallBatch, smallModel } from './small-model.js'

async function main(): Promise<void> {
  await using model = await smallModel()
  await using optimizer = await adamw(model)
  const batch = smallBatch()
  const losses: number[] = []
  for (let step = 0; step < 3; step++) {
    for (const { loss } of Object.values(await model.step(batch))) losses.push(loss)
    await optimizer.step({ learningRate: 1e-2 })
  }
  const tree = findLibtorch().tree!
  const cuda = join(tree.directory, 'lib', libraryFile('libtorch_cuda'))
  process.stdout.write(
    JSON.stringify({
      version: tree.version,
      flavour: tree.flavour,
      losses,
      vectors: [...(await model.embed(batch))],
      cudaProblem: existsSync(cuda) ? loadBoot().open(cuda) : 'there is none',
    }),
  )
}

void main()
