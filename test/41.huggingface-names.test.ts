import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { StrataError } from '../lib/errors.js'
import type { HeadConfig, ModelConfig } from '../lib/model/config.js'
import { exportMapping, importMapping } from '../lib/model/huggingface.js'
import { huggingFaceConfig, parseHuggingFaceConfig, tasksOfConfig } from '../lib/model/huggingface-config.js'
import { headsOfTensors } from '../lib/model/huggingface-heads.js'
import { modelParameterShapes } from '../lib/model/parameter-shapes.js'

interface Names {
  config: Record<string, unknown>
  tensors: Record<string, Record<string, number[]>>
}

const golden = JSON.parse(readFileSync(path.join(__dirname, 'golden/huggingface_names.json'), 'utf8')) as Names
const encoder = parseHuggingFaceConfig(golden.config, 'config.json')
const tensorsOf = (architecture: string) =>
  Object.entries(golden.tensors[architecture]).map(([name, shape]) => ({ name, shape }))

const mlm = (layer: number, more: Partial<HeadConfig> = {}): HeadConfig =>
  ({ kind: 'masked-lm', name: 'mlm', tap: { layer }, weight: 1, ...more }) as HeadConfig
const nsp = (layer: number): HeadConfig => ({ kind: 'next-sentence', name: 'nsp', tap: { layer }, weight: 1 })
const task = (kind: string, more: object = {}): HeadConfig =>
  ({ kind, name: 'mine', tap: { layer: 2 }, weight: 1, dropout: 0.1, ...more }) as HeadConfig
/** A model's only task head and the class that it is. */
const TASKS: [string, HeadConfig][] = [
  ['BertForSequenceClassification', task('classifier', { classes: 2, pooler: 'own' })],
  ['BertForSequenceClassification', task('classifier', { classes: 2, pooler: 'shared' })],
  ['BertForTokenClassification', task('tagger', { classes: 2 })],
  ['BertForQuestionAnswering', task('span')],
  ['BertForMultipleChoice', task('ranker', { pooler: 'own' })],
]
const model = (...heads: HeadConfig[]): ModelConfig => ({ encoder, heads })

function rejects(work: () => unknown, code: string, ...words: string[]): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof StrataError, String(error))
    assert.equal(error.code, code)
    for (const word of words) assert.ok(error.message.includes(word), `${error.message} names ${word}`)
    return true
  })
}

describe('names of Hugging Face files', () => {
  it('finds every parameter in the files of the four classes', () => {
    const heads = { BertModel: 0, BertForMaskedLM: 1, BertForNextSentencePrediction: 1, BertForPreTraining: 2 }
    for (const [architecture, count] of Object.entries(heads)) {
      const tensors = tensorsOf(architecture)
      const config = model(...headsOfTensors(tensors, encoder.layers))
      assert.equal(config.heads.length, count, architecture)
      const { mapping, fresh, unused } = importMapping(config, tensors, 'file')
      assert.deepEqual(fresh, [])
      assert.deepEqual(unused, architecture === 'BertModel' ? ['pooler.dense.weight', 'pooler.dense.bias'] : [])
      assert.deepEqual(Object.keys(mapping), Object.keys(modelParameterShapes(config)))
    }
  })

  it('writes the names, shapes and class that transformers expects', () => {
    for (const heads of [[], [mlm(2)], [nsp(2)], [mlm(2), nsp(2)]]) {
      const { mapping, architecture } = exportMapping(model(...heads))
      const expected = golden.tensors[architecture]
      const written = Object.entries(modelParameterShapes(model(...heads))).map(([name, shape]) => [
        mapping[name],
        shape,
      ])
      const prefix = architecture === 'BertModel' ? 'bert.' : ''
      const ignored = /decoder|position_ids/
      const names = Object.keys(expected).filter(
        (name) => !ignored.test(name) && !(prefix && name.startsWith('pooler')),
      )
      assert.deepEqual(
        Object.fromEntries(written),
        Object.fromEntries(names.map((name) => [prefix + name, expected[name]])),
      )
    }
    assert.deepEqual(huggingFaceConfig(model(mlm(2), nsp(2))).architectures, ['BertForPreTraining'])
  })

  for (const [architecture, head] of TASKS) {
    const pooler = 'pooler' in head ? ` with ${head.pooler} pooler` : ''
    it(`a ${head.kind}${pooler} on top is ${architecture}, both ways`, () => {
      const { mapping, architecture: written } = exportMapping(model(head))
      assert.equal(written, architecture)
      const shapes = Object.entries(modelParameterShapes(model(head)))
      assert.deepEqual(
        Object.fromEntries(shapes.map(([name, shape]) => [mapping[name], shape])),
        Object.fromEntries(Object.entries(golden.tensors[architecture]).filter(([name]) => !/position_ids/.test(name))),
      )
      const tensors = tensorsOf(architecture)
      const [found] = headsOfTensors(tensors, 2, { architectures: [architecture] })
      assert.deepEqual([found.kind, found.name, found.tap?.layer], [head.kind, 'task', 2])
      for (const wanted of [found, head]) {
        const { fresh, unused } = importMapping(model(wanted), tensors, 'file', { heads: [found], fromElsewhere: true })
        assert.deepEqual([fresh, unused], [[], []])
      }
    })
  }

  it('tells a classifier of a sequence, of a token and a regressor apart by config.json', () => {
    const sequence = tensorsOf('BertForSequenceClassification')
    const one = sequence.map(({ name, shape }) => ({ name, shape: name === 'classifier.weight' ? [1, 8] : shape }))
    const kind = (tensors: typeof one, json: object) => headsOfTensors(tensors, 2, json).map((head) => head.kind)
    const named = (name: string) => ({ architectures: [name] })
    assert.deepEqual(kind(sequence, {}), ['classifier'])
    assert.deepEqual(kind(tensorsOf('BertForTokenClassification'), {}), ['tagger'])
    assert.deepEqual(kind(sequence, named('BertForTokenClassification')), ['tagger'])
    assert.deepEqual(kind(one, named('BertForSequenceClassification')), ['regressor'])
    assert.deepEqual(kind(one, { problem_type: 'regression' }), ['regressor'])
    assert.deepEqual(kind(one, { problem_type: 'single_label_classification' }), ['classifier'])
    assert.deepEqual(kind(sequence, { problem_type: 'multi_label_classification' }), [])
  })

  it('keeps its own names for task heads that no published class computes', () => {
    const classifier = { classes: 2, pooler: 'own' }
    const mix = { name: 'all', includeEmbeddings: false, layerNorm: false, init: 'uniform' } as const
    const others: ModelConfig[] = [
      model(task('classifier', { ...classifier, pooler: 'none' })),
      model(task('classifier', { ...classifier, tap: { layer: 1 } })),
      model(task('classifier', classifier), nsp(2)),
      model(task('classifier', classifier), task('tagger', { classes: 3, name: 'second' })),
      { ...model(task('classifier', { ...classifier, tap: { mix: 'all' } })), mixes: [mix] },
    ]
    for (const config of others) {
      const { mapping, architecture } = exportMapping(config)
      assert.ok(['BertModel', 'BertForNextSentencePrediction'].includes(architecture), architecture)
      assert.equal(mapping['heads.mine.classifier.weight'], 'heads.mine.classifier.weight')
      const own = Object.entries(modelParameterShapes(config)).map(([name, shape]) => ({ name: mapping[name], shape }))
      const { encoder: _, ...parts } = config
      const back = importMapping(config, own, 'file', parts)
      assert.deepEqual([back.mapping, back.fresh, back.unused, back.borrowed], [mapping, [], [], {}])
    }
  })

  it('starts poolers from the published one, unless a next-sentence head has it', () => {
    const own = task('classifier', { classes: 2, pooler: 'own' })
    const fromModel = importMapping(model(own), tensorsOf('BertModel'), 'file')
    assert.deepEqual(fromModel.borrowed, {
      'heads.mine.pooler.weight': 'pooler.dense.weight',
      'heads.mine.pooler.bias': 'pooler.dense.bias',
    })
    assert.deepEqual(fromModel.fresh, ['heads.mine.classifier.weight', 'heads.mine.classifier.bias'])
    assert.equal(fromModel.mapping['heads.mine.pooler.weight'], 'pooler.dense.weight')
    const shared = task('classifier', { classes: 2, pooler: 'shared' })
    const pretrained = tensorsOf('BertForPreTraining')
    assert.equal(
      importMapping(model(shared), pretrained, 'file').mapping['pooler.dense.bias'],
      'bert.pooler.dense.bias',
    )
    const beside = importMapping(model(own, nsp(2)), pretrained, 'file')
    assert.deepEqual(beside.borrowed, {})
    assert.ok(beside.fresh.includes('heads.mine.pooler.weight'))
    assert.equal(beside.mapping['heads.nsp.pooler.weight'], 'bert.pooler.dense.weight')
    // A stage of many tasks shares its pooler; a task's own stage after it goes on from there.
    const parts = { heads: [shared] }
    const file = Object.entries(modelParameterShapes(model(shared))).map(([name, shape]) => ({
      name: exportMapping(model(shared)).mapping[name],
      shape,
    }))
    const next = importMapping(model(own), file, 'file', parts)
    assert.deepEqual([next.fresh, next.unused], [[], []])
  })

  it('draws a head afresh whose classes are not those of a file from elsewhere', () => {
    const three = task('classifier', { classes: 3, pooler: 'own' })
    const { fresh, unused } = importMapping(model(three), tensorsOf('BertForSequenceClassification'), 'file')
    assert.deepEqual(fresh, ['heads.mine.classifier.weight', 'heads.mine.classifier.bias'])
    assert.deepEqual(unused, ['classifier.weight', 'classifier.bias'])
  })

  it('draws a head or an adapter of other sizes than the own file’s afresh, the rest goes on', () => {
    const head = (classes: number) => task('classifier', { classes, pooler: 'own' })
    const pal = (size: number) => ({ kind: 'pal' as const, name: 'mine', size, heads: 2 })
    const config = (classes: number, size: number) => ({ ...model(head(classes)), adapters: [pal(size)] })
    const before = config(2, 4)
    const { mapping } = exportMapping(before)
    const tensors = Object.entries(modelParameterShapes(before)).map(([name, shape]) => ({
      name: mapping[name],
      shape,
    }))
    const parts = { heads: before.heads, adapters: before.adapters }
    const headNames = ['pooler.weight', 'pooler.bias', 'classifier.weight', 'classifier.bias']
    const other = importMapping(config(3, 4), tensors, 'file', parts)
    assert.deepEqual(other.fresh.sort(), headNames.map((name) => `heads.mine.${name}`).sort())
    assert.deepEqual(other.resized, { 'heads.mine': 'heads.mine' })
    assert.deepEqual(other.continued, { 'adapters.mine': 'adapters.mine' })
    const wider = importMapping(config(2, 6), tensors, 'file', parts)
    assert.ok(wider.fresh.length > 0 && wider.fresh.every((name) => name.startsWith('adapters.mine.')))
    assert.deepEqual(wider.resized, { 'adapters.mine': 'adapters.mine' })
    // What contradicts the file's own word is damaged, not of another size.
    const cut = tensors.map((one) => (one.name.endsWith('classifier.bias') ? { ...one, shape: [3] } : one))
    rejects(() => importMapping(before, cut, 'file', parts), 'BAD_CHECKPOINT', 'classifier.bias')
  })

  it('writes and reads the names of classes', () => {
    const head = task('classifier', { classes: 2, pooler: 'own', dropout: 0.3 })
    const saved = {
      name: 'mine',
      head: 'mine',
      kind: 'classification' as const,
      sequenceTokens: 6,
      metrics: ['accuracy'],
    }
    const json = huggingFaceConfig(model(head), [{ ...saved, labels: ['no', 'yes'] }])
    assert.deepEqual(json.id2label, { 0: 'no', 1: 'yes' })
    assert.deepEqual(json.label2id, { no: 0, yes: 1 })
    assert.deepEqual([json.classifier_dropout, json.problem_type], [0.3, 'single_label_classification'])
    assert.deepEqual(tasksOfConfig(json, [head], 6, 'file'), [{ ...saved, labels: ['no', 'yes'] }])
    assert.deepEqual(tasksOfConfig({}, [head], 6, 'file')[0].labels, ['LABEL_0', 'LABEL_1'])
    rejects(() => tasksOfConfig({ id2label: { 0: 'no' } }, [head], 6, 'the/config.json'), 'BAD_CHECKPOINT', 'id2label')
    const regressor = huggingFaceConfig(model(task('regressor', { pooler: 'own' })))
    assert.deepEqual([regressor.problem_type, regressor.id2label], ['regression', { 0: 'LABEL_0' }])
  })

  it('writes and reads the range of a regression, and what its labels are divided by', () => {
    const head = task('regressor', { pooler: 'own' })
    const saved = {
      name: 'mine',
      head: 'mine',
      kind: 'regression' as const,
      sequenceTokens: 6,
      metrics: ['pearson', 'spearman'],
    }
    const known = { ...saved, range: [0, 5] as [number, number], targetDivisor: 5 }
    const json = huggingFaceConfig(model(head), [known])
    assert.deepEqual([json.regression_range, json.regression_divisor], [[0, 5], 5])
    assert.deepEqual(tasksOfConfig(json, [head], 6, 'file'), [known])
    const older = huggingFaceConfig(model(head), [{ ...saved, definition: { targetDivisor: 5 } }])
    assert.deepEqual([older.regression_range, older.regression_divisor], [undefined, 5])
    assert.ok(!('regression_divisor' in huggingFaceConfig(model(head), [{ ...saved, range: [0, 5] }])))
    assert.deepEqual(tasksOfConfig({}, [head], 6, 'file'), [saved])
    for (const [field, value] of [
      ['regression_divisor', 0],
      ['regression_divisor', '5'],
      ['regression_range', [5, 0]],
      ['regression_range', 'wide'],
    ]) {
      const read = () => tasksOfConfig({ [field as string]: value }, [head], 6, 'the/config.json')
      rejects(read, 'BAD_CHECKPOINT', 'the/config.json', field as string)
    }
  })

  it('keeps its own names for heads at other layers and with a transfer', () => {
    const transfer = { from: 'nsp', mode: 'concat', stopGradient: false } as const
    const { mapping, architecture } = exportMapping(model(mlm(2, { transfer }), nsp(1)))
    assert.equal(architecture, 'BertModel')
    for (const name of Object.keys(mapping)) assert.equal(mapping[name], name)
    const own = Object.entries(modelParameterShapes(model(mlm(2, { transfer }), nsp(1)))).map(([name, shape]) => ({
      name,
      shape,
    }))
    const back = importMapping(model(mlm(2, { transfer }), nsp(1)), own, 'file', {
      heads: [mlm(2, { transfer }), nsp(1)],
    })
    assert.deepEqual([back.fresh, back.unused], [[], []])
    assert.deepEqual(back.mapping, mapping)
  })

  it('reads old spellings: gamma, beta, position_ids, no prefix', () => {
    const old = tensorsOf('BertForPreTraining').map(({ name, shape }) => ({
      name: name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta'),
      shape,
    }))
    old.push({ name: 'bert.embeddings.position_ids', shape: [1, 6] })
    const { mapping, unused } = importMapping(model(mlm(2), nsp(2)), old, 'file')
    assert.equal(mapping['bert.embeddings.LayerNorm.weight'], 'bert.embeddings.LayerNorm.gamma')
    assert.equal(mapping['heads.mlm.transform.LayerNorm.bias'], 'cls.predictions.transform.LayerNorm.beta')
    assert.deepEqual(unused, [])
  })

  it('draws heads afresh that the file lacks or holds for another layer', () => {
    const { fresh, unused } = importMapping(model(mlm(2), nsp(1)), tensorsOf('BertForPreTraining'), 'file')
    assert.deepEqual(
      fresh,
      ['pooler.weight', 'pooler.bias', 'classifier.weight', 'classifier.bias'].map((name) => `heads.nsp.${name}`),
    )
    assert.equal(unused.length, 4)
  })

  it('starts a concatenating transfer from a plain masked LM', () => {
    const transfer = { from: 'nsp', mode: 'concat', stopGradient: false } as const
    const { leftBlocks } = importMapping(model(mlm(2, { transfer }), nsp(1)), tensorsOf('BertForMaskedLM'), 'file')
    assert.deepEqual(leftBlocks, { 'heads.mlm.transform.dense.weight': 'cls.predictions.transform.dense.weight' })
  })

  it('names tensor and shapes of a file of another shape', () => {
    const wider = { ...encoder, hiddenSize: 16 }
    rejects(
      () => importMapping({ encoder: wider, heads: [] }, tensorsOf('BertModel'), 'weights'),
      'BAD_CHECKPOINT',
      'embeddings.word_embeddings.weight',
      '(11, 8)',
      '(11, 16)',
      'weights',
    )
    const deeper = { ...encoder, layers: 3 }
    rejects(
      () => importMapping({ encoder: deeper, heads: [] }, tensorsOf('BertModel'), 'weights'),
      'BAD_CHECKPOINT',
      'layer.2.',
    )
  })

  it('refuses configurations that it does not compute, naming field and value', () => {
    const broken: [Record<string, unknown>, string, string][] = [
      [{ model_type: 'roberta' }, 'UNSUPPORTED', 'roberta'],
      [{ hidden_act: 'silu' }, 'UNSUPPORTED', 'silu'],
      [{ position_embedding_type: 'relative_key' }, 'UNSUPPORTED', 'relative_key'],
      [{ is_decoder: true }, 'UNSUPPORTED', 'is_decoder'],
      [{ hidden_size: -8 }, 'BAD_CHECKPOINT', 'hidden_size'],
      [{ num_attention_heads: 3 }, 'BAD_CHECKPOINT', 'num_attention_heads'],
      [{ vocab_size: 'many' }, 'BAD_CHECKPOINT', 'vocab_size'],
      [{ num_hidden_layers: undefined }, 'BAD_CHECKPOINT', 'num_hidden_layers'],
    ]
    for (const [change, code, word] of broken)
      rejects(
        () => parseHuggingFaceConfig({ ...golden.config, ...change }, 'the/config.json'),
        code,
        word,
        'the/config.json',
      )
    rejects(() => parseHuggingFaceConfig([], 'the/config.json'), 'BAD_CHECKPOINT', 'the/config.json')
  })

  it('round-trips its own config.json', () => {
    assert.deepEqual(parseHuggingFaceConfig(huggingFaceConfig(model(mlm(2))), 'file'), encoder)
  })
})
