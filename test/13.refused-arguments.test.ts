/** Every bad argument is a StrataError that names the field, what came and what was expected; nothing changes by it. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HeadLabels, PackedBatch } from '../lib/data/packed-batch.js'
import {
  type AdamWOptions,
  counters,
  encoderConfig,
  type HeadConfig,
  Model,
  Optimizer,
  Probe,
} from '../lib/model/index.js'
import { refuses } from './helpers/refuses.js'
import { adamw, HEADS, smallBatch, smallModel, VOCABULARY } from './helpers/small-model.js'

describe('arguments that model and optimizer refuse', function () {
  this.timeout(60_000)
  let folder: string
  let model: Model
  let optimizer: Optimizer
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-model-'))
    model = await smallModel()
    optimizer = await adamw(model)
  })
  after(async () => {
    await optimizer.dispose()
    await model.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  const ints = (...values: number[]) => Int32Array.from(values)
  /** A batch with one thing wrong. */
  const changed = (change: (batch: PackedBatch & Record<string, any>) => void): PackedBatch => {
    const batch = smallBatch()
    change(batch)
    return batch
  }
  const label = (head: string, part: Partial<Record<keyof HeadLabels, unknown>>) =>
    changed((batch) => Object.assign(batch.labels[head], part))

  // biome-ignore format: a table, one case a line
  const batches: [string, () => any, string, ...string[]][] = [
    ['no batch', () => undefined, 'BAD_ARGUMENT', 'batch', 'object'],
    ['a batch that is null', () => null, 'BAD_ARGUMENT', 'batch'],
    ['an empty object', () => ({}), 'BAD_ARGUMENT', 'tokenIds', 'Int32Array'],
    ['an id at the vocabulary', () => changed((b) => b.tokenIds.fill(VOCABULARY, 3, 4)), 'BAD_ARGUMENT', 'tokenIds[3]', '61', '0 to 60'],
    ['a negative id', () => changed((b) => b.tokenIds.fill(-1, 7, 8)), 'BAD_ARGUMENT', 'tokenIds[7]', '-1'],
    ['a third segment', () => changed((b) => b.segmentIds.fill(2, 4, 5)), 'BAD_ARGUMENT', 'segmentIds[4]', '0 to 1'],
    ['too few segments', () => changed((b) => { b.segmentIds = b.segmentIds.slice(1) }), 'BAD_ARGUMENT', 'segmentIds', '62', '63'],
    ['ids as a plain array', () => changed((b) => { b.tokenIds = [...b.tokenIds] as any }), 'BAD_ARGUMENT', 'tokenIds', 'Int32Array'],
    ['ids as Float32Array', () => changed((b) => { b.tokenIds = Float32Array.from(b.tokenIds) as any }), 'BAD_ARGUMENT', 'tokenIds', 'Int32Array'],
    ['ids as Uint32Array', () => changed((b) => { b.tokenIds = Uint32Array.from(b.tokenIds) as any }), 'BAD_ARGUMENT', 'tokenIds', 'Int32Array'],
    ['ids as BigInt64Array', () => changed((b) => { b.tokenIds = new BigInt64Array(63) as any }), 'BAD_ARGUMENT', 'tokenIds', 'Int32Array'],
    ['a DataView', () => changed((b) => { b.segmentIds = new DataView(new ArrayBuffer(8)) as any }), 'BAD_ARGUMENT', 'segmentIds', 'Int32Array'],
    ['ids whose buffer was handed to another thread', () => changed((b) => { structuredClone(b.tokenIds, { transfer: [b.tokenIds.buffer as ArrayBuffer] }) }), 'BAD_ARGUMENT', 'sequenceOffsets', '0'],
    ['no offsets', () => changed((b) => { b.sequenceOffsets = undefined as any }), 'BAD_ARGUMENT', 'sequenceOffsets'],
    ['empty offsets', () => changed((b) => { b.sequenceOffsets = ints() }), 'BAD_ARGUMENT', 'sequenceOffsets', 'at least 2'],
    ['one offset', () => changed((b) => { b.sequenceOffsets = ints(0) }), 'BAD_ARGUMENT', 'sequenceOffsets'],
    ['offsets that do not begin at 0', () => changed((b) => { b.sequenceOffsets = ints(1, 63) }), 'BAD_ARGUMENT', 'sequenceOffsets[0]'],
    ['offsets that end early', () => changed((b) => { b.sequenceOffsets = ints(0, 17, 62) }), 'BAD_ARGUMENT', 'sequenceOffsets', '63'],
    ['an empty sequence', () => changed((b) => { b.sequenceOffsets = ints(0, 17, 17, 49, 63) }), 'BAD_ARGUMENT', 'sequence 1', '0 tokens'],
    ['offsets that go back', () => changed((b) => { b.sequenceOffsets = ints(0, 20, 10, 40, 63) }), 'BAD_ARGUMENT', 'sequence 1', '-10'],
    ['offsets that overflow 32 bits', () => changed((b) => { b.sequenceOffsets = ints(0, 2 ** 31 - 1, -(2 ** 31), 63) }), 'BAD_ARGUMENT', 'sequence 0'],
    ['a sequence that is too long', () => changed((b) => { b.sequenceOffsets = ints(0, 17, 54, 63) }), 'BAD_ARGUMENT', 'sequence 1', '37', '32'],
    ['no token at all', () => ({ tokenIds: ints(), segmentIds: ints(), sequenceOffsets: ints(0, 0), labels: {} }), 'BAD_ARGUMENT', 'sequence 0'],
    ['labels for a head that is not there', () => changed((b) => { b.labels.sop = { labels: ints(1) } }), 'NOT_FOUND', "'sop'", 'nsp, mlm, swap, token'],
    ['no labels', () => changed((b) => { b.labels = {} }), 'BAD_ARGUMENT', 'label'],
    ['no single label that counts', () => changed((b) => { b.labels = { nsp: { labels: ints(-100, -100, -100, -100) } } }), 'BAD_ARGUMENT', 'label'],
    ['labels that are null', () => changed((b) => { b.labels = null as any }), 'BAD_ARGUMENT', 'labels', 'head'],
    ['a head without its labels field', () => changed((b) => { b.labels = { nsp: {} as any } }), 'BAD_ARGUMENT', "head 'nsp'", 'Int32Array'],
    ['labels of a head as a number', () => changed((b) => { b.labels = { nsp: 3 as any } }), 'BAD_ARGUMENT', "head 'nsp'", 'object'],
    ['a next-sentence label of 2', () => label('nsp', { labels: ints(0, 1, 2, 0) }), 'BAD_ARGUMENT', 'labels[2]', "'nsp'", '0 to 1'],
    ['a label of -1', () => label('nsp', { labels: ints(0, -1, 1, 0) }), 'BAD_ARGUMENT', 'labels[1]', '-1', '-100'],
    ['a label too few', () => label('nsp', { labels: ints(0, 1, 1) }), 'BAD_ARGUMENT', "'nsp'", '3', '4', 'sequence'],
    ['a token label at the vocabulary', () => label('mlm', { positions: ints(1, 2), labels: ints(5, VOCABULARY) }), 'BAD_ARGUMENT', 'labels[1]', "'mlm'", '0 to 60'],
    ['a position behind the last token', () => label('mlm', { positions: ints(1, 63), labels: ints(5, 5) }), 'BAD_ARGUMENT', 'positions[1]', "'mlm'", '0 to 62'],
    ['a negative position', () => label('token', { positions: ints(-1), labels: ints(1) }), 'BAD_ARGUMENT', 'positions[0]', "'token'"],
    ['more labels than positions', () => label('mlm', { positions: ints(1), labels: ints(5, 6) }), 'BAD_ARGUMENT', "'mlm'", 'position'],
    ['positions of the wrong type', () => label('mlm', { positions: [1, 2] }), 'BAD_ARGUMENT', "positions of head 'mlm'", 'Int32Array'],
    ['a span over two sequences', () => label('swap', { spanStarts: ints(10), spanEnds: ints(20), labels: ints(1) }), 'BAD_ARGUMENT', 'span 0', "'swap'", 'one sequence'],
    ['an empty span', () => label('swap', { spanStarts: ints(3), spanEnds: ints(3), labels: ints(1) }), 'BAD_ARGUMENT', 'span 0', '[3, 3)'],
    ['a span behind the end', () => label('swap', { spanStarts: ints(63), spanEnds: ints(64), labels: ints(1) }), 'BAD_ARGUMENT', 'span 0'],
    ['a span that begins at -1', () => label('swap', { spanStarts: ints(-1), spanEnds: ints(4), labels: ints(1) }), 'BAD_ARGUMENT', 'span 0'],
    ['more starts than ends', () => label('swap', { spanStarts: ints(0, 5), spanEnds: ints(3), labels: ints(1, 0) }), 'BAD_ARGUMENT', 'spanEnds', "'swap'"],
    ['spans without starts', () => label('swap', { spanStarts: undefined, spanEnds: undefined }), 'BAD_ARGUMENT', "'swap'", 'span'],
    ['a sentence label of 2', () => label('swap', { spanStarts: ints(0), spanEnds: ints(3), labels: ints(2) }), 'BAD_ARGUMENT', 'labels[0]', "'swap'"],
  ]
  for (const [name, batch, code, ...parts] of batches) {
    it(`step and evaluate: ${name}`, async () => {
      const expected = refuses(code, ...parts)
      await assert.rejects(model.step(batch()), expected)
      await assert.rejects(model.evaluate(batch()), expected)
    })
  }

  // biome-ignore format: a table, one case a line
  const calls: [string, () => Promise<unknown>, string, ...string[]][] = [
    ['lossDivisors 0', () => model.step(smallBatch(), { lossDivisors: { mlm: 0 } }), 'BAD_ARGUMENT', 'lossDivisors.mlm', '0'],
    ['lossDivisors NaN', () => model.step(smallBatch(), { lossDivisors: { mlm: Number.NaN } }), 'BAD_ARGUMENT', 'lossDivisors.mlm', 'nan'],
    ['lossDivisors Infinity', () => model.step(smallBatch(), { lossDivisors: { mlm: Infinity } }), 'BAD_ARGUMENT', 'lossDivisors.mlm'],
    ['lossDivisors of an unknown head', () => model.step(smallBatch(), { lossDivisors: { mlmm: 3 } }), 'NOT_FOUND', "'mlmm'"],
    ['lossDivisors that is text', () => model.step(smallBatch(), { lossDivisors: { mlm: '3' as any } }), 'BAD_ARGUMENT', 'mlm', 'number'],
    ['embed at layer 3', () => model.embed(smallBatch(), { layer: 3 }), 'BAD_ARGUMENT', 'layer', '3', '2'],
    ['embed at layer -1', () => model.embed(smallBatch(), { layer: -1 }), 'BAD_ARGUMENT', 'layer', '-1'],
    ['embed at layer 0.5', () => model.embed(smallBatch(), { layer: 0.5 }), 'BAD_ARGUMENT', 'layer', 'whole'],
    ['embed by median', () => model.embed(smallBatch(), { pooling: 'median' as any }), 'BAD_ARGUMENT', 'pooling', 'median', 'mean, cls or max'],
    ['embed, normalize 1', () => model.embed(smallBatch(), { normalize: 1 as any }), 'BAD_ARGUMENT', 'normalize'],
    ['embed of a bad batch', () => model.embed(changed((b) => b.tokenIds.fill(99))), 'BAD_ARGUMENT', 'tokenIds[0]'],
    ['hiddenStates of layer 9', () => model.hiddenStates(smallBatch(), [0, 9]), 'BAD_ARGUMENT', 'layer', '9'],
    ['hiddenStates of layer 1.5', () => model.hiddenStates(smallBatch(), [1.5]), 'BAD_ARGUMENT', 'layers', '1.5'],
    ['hiddenStates of layer NaN', () => model.hiddenStates(smallBatch(), [Number.NaN]), 'BAD_ARGUMENT', 'layers'],
    ['headLogits of an unknown head', () => model.headLogits(smallBatch(), 'sop'), 'NOT_FOUND', "'sop'", 'nsp'],
    ['headLogits without labels', () => model.headLogits({ ...smallBatch(), labels: {} }, 'mlm'), 'BAD_ARGUMENT', "'mlm'"],
    ['headLogits without a batch', () => model.headLogits(undefined as any, 'mlm'), 'BAD_ARGUMENT', 'batch'],
    ['headLogits with empty labels', () => model.headLogits({ ...smallBatch(), labels: { mlm: { labels: ints(), positions: ints() } } }, 'mlm'), 'BAD_ARGUMENT', "'mlm'"],
    ['predictMasked by a next-sentence head', () => model.predictMasked(smallBatch(), 'nsp', ints(1), 1), 'BAD_ARGUMENT', "'nsp'", 'masked-LM'],
    ['predictMasked nowhere', () => model.predictMasked(smallBatch(), 'mlm', ints(), 1), 'BAD_ARGUMENT', 'positions'],
    ['predictMasked behind the end', () => model.predictMasked(smallBatch(), 'mlm', ints(99), 1), 'BAD_ARGUMENT', 'positions[0]', '99'],
    ['predictMasked topK 0', () => model.predictMasked(smallBatch(), 'mlm', ints(1), 0), 'BAD_ARGUMENT', 'topK', '0'],
    ['predictMasked topK above V', () => model.predictMasked(smallBatch(), 'mlm', ints(1), 62), 'BAD_ARGUMENT', 'topK', '61'],
    ['predictMasked topK 1.5', () => model.predictMasked(smallBatch(), 'mlm', ints(1), 1.5), 'BAD_ARGUMENT', 'topK', 'whole'],
    ['predictMasked above the top layer', () => model.predictMasked(smallBatch(), 'mlm', ints(1), 1, 3), 'BAD_ARGUMENT', 'layer', '3', '2'],
    ['predictMasked below the embeddings', () => model.predictMasked(smallBatch(), 'mlm', ints(1), 1, -1), 'BAD_ARGUMENT', 'layer', '-1'],
    ['predictMasked between layers', () => model.predictMasked(smallBatch(), 'mlm', ints(1), 1, 0.5), 'BAD_ARGUMENT', 'layer', 'whole'],
    ['predictMasked topK NaN', () => model.predictMasked(smallBatch(), 'mlm', ints(1), Number.NaN), 'BAD_ARGUMENT', 'topK'],
    ['predictMasked positions as array', () => model.predictMasked(smallBatch(), 'mlm', [1] as any, 1), 'BAD_ARGUMENT', 'positions', 'Int32Array'],
    ['readTensors of what is not there', () => model.readTensors('value', ['bert.pooler.weight']), 'NOT_FOUND', 'bert.pooler.weight'],
    ['readTensors of moments', () => model.readTensors('moments' as any), 'BAD_ARGUMENT', 'what', 'moments'],
    ['writeTensors of an unknown name', () => model.writeTensors({ nothing: new Float32Array(1) }), 'NOT_FOUND', 'nothing'],
    ['writeTensors, too short', () => model.writeTensors({ 'heads.mlm.bias': new Float32Array(60) }), 'BAD_ARGUMENT', 'heads.mlm.bias', '60', '61'],
    ['writeTensors, plain array', () => model.writeTensors({ 'heads.mlm.bias': [1] as any }), 'BAD_ARGUMENT', 'heads.mlm.bias', 'Float32Array'],
    ['setDropout 1', () => model.setDropout({ hidden: 1 }), 'BAD_ARGUMENT', 'dropout', '1'],
    ['setDropout NaN', () => model.setDropout({ attention: Number.NaN }), 'BAD_ARGUMENT', 'dropout'],
    ['save of an unknown name', () => model.save(join(folder, 'x'), { nothing: 'y' }), 'NOT_FOUND', 'nothing'],
    ['save into a folder that is not there', () => model.save(join(folder, 'no/where'), { 'heads.mlm.bias': 'b' }), 'NOT_FOUND', 'no/where:'],
    ['load of a missing file', () => model.load(join(folder, 'missing'), {}), 'NOT_FOUND', 'missing'],
    ['learning rate NaN', () => optimizer.step({ learningRate: Number.NaN }), 'BAD_ARGUMENT', 'learningRate', 'nan'],
    ['learning rate -1', () => optimizer.step({ learningRate: -1 }), 'BAD_ARGUMENT', 'learningRate', '-1'],
    ['learning rate Infinity', () => optimizer.step({ learningRate: Infinity }), 'BAD_ARGUMENT', 'learningRate', 'inf'],
    ['no learning rate', () => optimizer.step({} as any), 'BAD_ARGUMENT', 'learningRate'],
    ['maxGradNorm NaN', () => optimizer.step({ learningRate: 1, maxGradNorm: Number.NaN }), 'BAD_ARGUMENT', 'maxGradNorm'],
    ['maxTensorGradNorm -1', () => optimizer.step({ learningRate: 1, maxTensorGradNorm: -1 }), 'BAD_ARGUMENT', 'maxTensorGradNorm', '-1'],
  ]
  for (const [name, action, code, ...parts] of calls) {
    it(name, () => assert.rejects(action(), refuses(code, ...parts)))
  }

  it('an update without gradients', async () => {
    await using fresh = await smallModel()
    await using own = await adamw(fresh)
    await assert.rejects(own.step({ learningRate: 1 }), refuses('BAD_ARGUMENT', 'gradient', 'model.step'))
  })

  it('a dropout state that is no whole number', () => {
    for (const state of [
      { seed: Number.NaN, counter: 0 },
      { seed: -1, counter: 0 },
      { seed: 1, counter: 0.5 },
    ]) {
      assert.throws(() => model.setDropoutState(state), refuses('BAD_ARGUMENT', 'whole number'))
    }
  })

  it('refused dropout rates are not kept', async () => {
    await assert.rejects(model.setDropout({ hidden: 7 }), refuses('BAD_ARGUMENT'))
    await model.setDropout({ attention: 0 })
  })

  it('a refused step neither adds to nor drops the gradients gathered before', async () => {
    await using own = await smallModel()
    await own.step(smallBatch())
    const gathered = await own.readTensors('gradient')
    await assert.rejects(own.step(label('nsp', { labels: ints(7, 7, 7, 7) })), refuses('BAD_ARGUMENT'))
    assert.deepEqual(await own.readTensors('gradient'), gathered)
  })

  it('writeTensors with one bad tensor writes none', async () => {
    await using own = await smallModel()
    const before = await own.readTensors('value')
    const bad = { 'heads.nsp.classifier.bias': Float32Array.of(9, 9), 'heads.mlm.bias': new Float32Array(3) }
    await assert.rejects(own.writeTensors(bad), refuses('BAD_ARGUMENT', 'heads.mlm.bias'))
    assert.deepEqual(await own.readTensors('value'), before)
  })

  const heads = (part: object): HeadConfig[] => [HEADS[0], { ...HEADS[1], ...part } as HeadConfig]
  // biome-ignore format: a table, one case a line
  const configurations: [string, () => Promise<Model>, string, ...string[]][] = [
    ['vocabSize 0', () => smallModel({}, { vocabSize: 0 }), 'BAD_ARGUMENT', 'vocabSize', '0'],
    ['vocabSize 2^50', () => smallModel({}, { vocabSize: 2 ** 50 }), 'BAD_ARGUMENT', 'vocabSize', '2147483647'],
    ['layers 5000', () => smallModel({}, { layers: 5000 }), 'BAD_ARGUMENT', 'layers', '4096'],
    ['layers 1.5', () => smallModel({}, { layers: 1.5 }), 'BAD_ARGUMENT', 'layers', '1.5'],
    ['hiddenSize NaN', () => smallModel({}, { hiddenSize: Number.NaN }), 'BAD_ARGUMENT', 'hiddenSize'],
    ['hiddenSize as text', () => smallModel({}, { hiddenSize: '32' as any }), 'BAD_ARGUMENT', 'hiddenSize', 'number'],
    ['3 heads of 32', () => smallModel({}, { heads: 3 }), 'BAD_ARGUMENT', 'hiddenSize', '3'],
    ['maxPositions -5', () => smallModel({}, { maxPositions: -5 }), 'BAD_ARGUMENT', 'maxPositions'],
    ['hiddenDropout 1', () => smallModel({}, { hiddenDropout: 1 }), 'BAD_ARGUMENT', 'hiddenDropout'],
    ['attentionDropout NaN', () => smallModel({}, { attentionDropout: Number.NaN }), 'BAD_ARGUMENT', 'attentionDropout'],
    ['layerNormEpsilon NaN', () => smallModel({}, { layerNormEpsilon: Number.NaN }), 'BAD_ARGUMENT', 'layerNormEpsilon'],
    ['initializerRange -1', () => smallModel({}, { initializerRange: -1 }), 'BAD_ARGUMENT', 'initializerRange'],
    ['activation swish', () => smallModel({}, { activation: 'swish' as any }), 'BAD_ARGUMENT', 'activation', 'swish', 'gelu'],
    ['kind gpt', () => smallModel({}, { kind: 'gpt' as any }), 'UNSUPPORTED', 'encoder.kind', 'gpt'],
    ['no encoder', () => Model.create({ heads: [] } as any, { device: 'cpu' }), 'BAD_ARGUMENT', 'encoder'],
    ['no heads', () => Model.create({ encoder: encoderConfig({ vocabSize: 9, layers: 1, hiddenSize: 8 }) } as any, { device: 'cpu', }), 'BAD_ARGUMENT', 'heads'],
    ['two heads of one name', () => smallModel({}, {}, [HEADS[0], HEADS[0]]), 'BAD_ARGUMENT', "'nsp'"],
    ['a tap above the encoder', () => smallModel({}, {}, heads({ tap: { layer: 3 } })), 'BAD_ARGUMENT', "'mlm'", '3'],
    ['a tap below 0', () => smallModel({}, {}, heads({ tap: { layer: -1 } })), 'BAD_ARGUMENT', "'mlm'", '-1'],
    ['no tap', () => smallModel({}, {}, heads({ tap: undefined })), 'BAD_ARGUMENT', 'tap'],
    ['a head of unknown kind', () => smallModel({}, {}, heads({ kind: 'sop' })), 'UNSUPPORTED', "'mlm'", "'sop'", 'masked-lm'],
    ['a weight of NaN', () => smallModel({}, {}, heads({ weight: Number.NaN })), 'BAD_ARGUMENT', "'mlm'", 'weight'],
    ['a negative weight', () => smallModel({}, {}, heads({ weight: -1 })), 'BAD_ARGUMENT', "'mlm'", 'weight'],
    ['a transfer from nobody', () => smallModel({}, {}, heads({ transfer: { from: 'sop', mode: 'add', stopGradient: false } })), 'BAD_ARGUMENT', "'mlm'", "'sop'"],
    ['a transfer downwards', () => smallModel({}, {}, [ { ...HEADS[0], tap: { layer: 2 } } as HeadConfig, { ...HEADS[1], tap: { layer: 1 } } as HeadConfig, ]), 'BAD_ARGUMENT', "'mlm'", "'nsp'", 'layer 2'],
    ['a transfer of unknown mode', () => smallModel({}, {}, heads({ transfer: { from: 'nsp', mode: 'sum', stopGradient: false } })), 'BAD_ARGUMENT', "'sum'", 'concat'],
    ['bigram shift of paragraphs', () => smallModel({}, {}, [{ ...HEADS[2], level: 'paragraph' } as any]), 'BAD_ARGUMENT', "'swap'", 'paragraph'],
    ['precision fp8', () => smallModel({ precision: 'fp8' as any }), 'BAD_ARGUMENT', 'precision', 'fp8'],
    ['precision fp16 on the CPU', () => smallModel({ precision: 'fp16' }), 'UNSUPPORTED', 'fp16', 'CUDA'],
    ['device tpu', () => smallModel({ device: 'tpu' as any }), 'BAD_ARGUMENT', 'device', 'tpu'],
    ['kernels slow', () => smallModel({ kernels: 'slow' as any }), 'BAD_ARGUMENT', 'kernels', 'slow'],
    ['seed -1', () => smallModel({ seed: -1 }), 'BAD_ARGUMENT', 'seed', '-1'],
    ['seed 0.5', () => smallModel({ seed: 0.5 }), 'BAD_ARGUMENT', 'seed', '0.5'],
  ]
  for (const [name, action, code, ...parts] of configurations) {
    it(`create: ${name}`, async () => {
      const { liveModels } = counters()
      await assert.rejects(action(), refuses(code, ...parts))
      assert.equal(counters().liveModels, liveModels, 'no half-made model stays')
    })
  }

  const group = { names: ['heads.mlm.bias'], weightDecay: 0, learningRateFactor: 1 }
  // biome-ignore format: a table, one case a line
  const settings: [string, Partial<Record<keyof AdamWOptions, unknown>>, string, ...string[]][] = [
    ['kind lamb', { kind: 'lamb' }, 'UNSUPPORTED', 'lamb', 'adamw', 'bert-adam'],
    ['beta1 1', { beta1: 1 }, 'BAD_ARGUMENT', 'beta1'],
    ['beta2 NaN', { beta2: Number.NaN }, 'BAD_ARGUMENT', 'beta2'],
    ['epsilon 0', { epsilon: 0 }, 'BAD_ARGUMENT', 'epsilon'],
    ['epsilon Infinity', { epsilon: Infinity }, 'BAD_ARGUMENT', 'epsilon'],
    ['no groups', { groups: undefined }, 'BAD_ARGUMENT', 'groups'],
    ['a group without names', { groups: [{ ...group, names: undefined }] }, 'BAD_ARGUMENT', 'names of groups[0]'],
    ['names that are numbers', { groups: [{ ...group, names: [3] }] }, 'BAD_ARGUMENT', 'names of groups[0][0]'],
    ['an unknown name', { groups: [{ ...group, names: ['mlm.bias'] }] }, 'NOT_FOUND', 'mlm.bias'],
    ['a name twice', { groups: [group, group] }, 'BAD_ARGUMENT', 'heads.mlm.bias', 'two groups'],
    ['query without key and value', { groups: [{ ...group, names: ['bert.encoder.layer.0.attention.self.query.weight'] }] }, 'BAD_ARGUMENT', 'query, key and value'],
    ['weightDecay NaN', { groups: [{ ...group, weightDecay: Number.NaN }] }, 'BAD_ARGUMENT', 'weightDecay of groups[0]'],
    ['weightDecay -1', { groups: [{ ...group, weightDecay: -1 }] }, 'BAD_ARGUMENT', 'weightDecay of groups[0]'],
    ['learningRateFactor NaN', { groups: [{ ...group, learningRateFactor: Number.NaN }] }, 'BAD_ARGUMENT', 'learningRateFactor of groups[0]'],
  ]
  for (const [name, part, code, ...parts] of settings) {
    it(`optimizer: ${name}`, async () => {
      const { liveOptimizers } = counters()
      const options = { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, groups: [group], ...part }
      await assert.rejects(Optimizer.create(model, options as AdamWOptions), refuses(code, ...parts))
      assert.equal(counters().liveOptimizers, liveOptimizers)
    })
  }

  it('a path with a NUL, which the system would read up to there', async () => {
    const victim = join(folder, 'victim')
    writeFileSync(victim, 'precious')
    const path = `${victim}\0.safetensors`
    const names = { 'heads.mlm.bias': 'bias' }
    const refused = refuses('BAD_ARGUMENT', 'NUL', victim)
    await assert.rejects(async () => model.save(path, names), refused)
    await assert.rejects(async () => optimizer.save(path), refused)
    await assert.rejects(async () => Probe.open({ units: 1, layers: 1, width: 1, path }), refused)
    assert.equal(readFileSync(victim, 'utf8'), 'precious')
  })

  it('after all of this the model still trains', async () => {
    await model.step(smallBatch())
    const { applied } = await (await optimizer.step({ learningRate: 1e-3 })).read()
    assert.equal(applied, true)
  })
})
