/**
 * One addon serves the CPU build of libtorch and the CUDA build. Needs a CUDA build in the cache (`stratabert libtorch install --flavour cu130`,
 * 2.5 GB), or STRATABERT_LIBTORCH that names one; a card and a driver it does not need.
 */
import assert from 'node:assert/strict'
import { findLibtorch } from '../lib/runtime/index.js'
import { runChild } from './helpers/run-child.js'

describe('a CUDA build of libtorch', function () {
  this.timeout(300_000)

  async function onTree(directory: string) {
    const { code, out, err } = await runChild('tree-child', {
      env: { STRATABERT_LIBTORCH: directory },
      timeoutMs: 120_000,
    })
    assert.equal(code, 0, err)
    return JSON.parse(out)
  }

  it('trains and answers on the CPU as the CPU build, with the same addon, and its libraries are all there', async function () {
    const { tree } = findLibtorch({ device: 'cuda' })
    if (tree?.flavour !== 'cuda') {
      this.test!.title += ' (no CUDA build here: stratabert libtorch install --flavour cu130)'
      this.skip()
    }
    const environment = { ...process.env, STRATABERT_LIBTORCH: undefined }
    const cpu = findLibtorch({ device: 'cpu', minor: tree.minor, environment }).tree
    if (cpu?.flavour !== 'cpu') {
      this.test!.title += ` (no CPU build of ${tree.minor} beside it)`
      this.skip()
    }
    const [onCuda, onCpu] = [await onTree(tree.directory), await onTree(cpu.directory)]
    assert.deepEqual([onCuda.flavour, onCpu.flavour], ['cuda', 'cpu'])
    assert.deepEqual(onCuda.losses, onCpu.losses)
    assert.deepEqual(onCuda.vectors, onCpu.vectors)
    assert.equal(onCuda.cudaProblem, null)
    assert.equal(onCpu.cudaProblem, 'there is none')
  })
})
