import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { StrataError } from '../lib/errors.js'
import type { HeadConfig, ModelConfig } from '../lib/model/config.js'
import {
  exportMapping,
  headsOfTensors,
  huggingFaceConfig,
  importMapping,
  parseHuggingFaceConfig,
} from '../lib/model/huggingface.js'
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

  it('keeps its own names for heads at other layers and with a transfer', () => {
    const transfer = { from: 'nsp', mode: 'concat', stopGradient: false } as const
    const { mapping, architecture } = exportMapping(model(mlm(2, { transfer }), nsp(1)))
    assert.equal(architecture, 'BertModel')
    for (const name of Object.keys(mapping)) assert.equal(mapping[name], name)
    const own = Object.entries(modelParameterShapes(model(mlm(2, { transfer }), nsp(1)))).map(([name, shape]) => ({
      name,
      shape,
    }))
    const back = importMapping(model(mlm(2, { transfer }), nsp(1)), own, 'file', [mlm(2, { transfer }), nsp(1)])
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
