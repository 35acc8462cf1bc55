import assert from 'node:assert/strict'
import fc from 'fast-check'
import { nearest } from '../lib/edit-distance.js'
import { StrataError } from '../lib/errors.js'
import { loadRecipe, parseRecipeText } from '../lib/recipes/load-recipe.js'
import { stagesOf } from '../lib/recipes/recipe-stages.js'
import { resolveRecipe } from '../lib/recipes/resolve-recipe.js'
import { defineRecipe } from '../lib/recipes/schema.js'
import { overlayOfSetOptions } from '../lib/recipes/set-option.js'

const own = (more: object = {}) => ({ heads: { mlm: { kind: 'masked-lm' } }, budget: { steps: 10 }, ...more })

function failure(run: () => unknown): StrataError {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof StrataError, `a ${error} came instead of a StrataError`)
    return error
  }
  assert.fail('nothing was thrown')
}

describe('recipe schema', () => {
  it('fills every default and resolves what is relative', () => {
    const recipe = resolveRecipe(defineRecipe({ heads: { mlm: { kind: 'masked-lm' } }, budget: { steps: 10 } }))
    assert.equal(recipe.encoder.layers, 6)
    assert.equal(recipe.encoder.intermediateSize, 4 * recipe.encoder.hiddenSize)
    assert.equal(recipe.encoder.heads, 4)
    assert.equal(recipe.heads.mlm.layer, 6)
    assert.deepEqual(recipe.optimizer, {
      kind: 'adamw',
      learningRate: 1e-3,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
      layerDecay: 1,
    })
    assert.deepEqual(stagesOf(recipe)[0].budget, { steps: 10 })
  })

  it('null in a typed recipe removes a key of the extended one', () => {
    const recipe = resolveRecipe(
      defineRecipe({
        extends: 'pals',
        tasks: { rte: {} },
        adapter: { kind: 'low-rank', size: 16, heads: null, outputGelu: null },
        budget: null,
        checkpoint: { best: null },
        stages: [{ budget: { steps: 1 } }],
      }),
    )
    assert.deepEqual(recipe.adapter, { kind: 'low-rank', size: 16 })
    assert.equal(recipe.checkpoint.best, undefined)
    assert.equal(recipe.budget, undefined)
    // @ts-expect-error a list is taken as a whole
    defineRecipe({ freeze: [null] })
    // @ts-expect-error no key of this name
    defineRecipe({ encodr: null })
    // @ts-expect-error another kind of value
    defineRecipe({ seed: 'one' })
  })

  const nsp = { kind: 'next-sentence', layer: 2 }
  const table: [string, object, RegExp][] = [
    ['unknown top key', own({ encodr: {} }), /^recipe: encodr: unknown key; did you mean "encoder"\?$/],
    ['unknown inner key', own({ encoder: { layer: 4 } }), /encoder\.layer: unknown key; did you mean "layers"\?/],
    [
      'unknown key without a near one',
      own({ log: { zzzzzzzz: 1 } }),
      /log\.zzzzzzzz: unknown key; known here: everySteps/,
    ],
    ['wrong type', own({ encoder: { layers: 'six' } }), /encoder\.layers: came "six" \(string\), expected a number/],
    [
      'fraction for a count',
      own({ encoder: { layers: 2.5 } }),
      /encoder\.layers: came 2\.5 \(number\), expected a whole number/,
    ],
    ['too small', own({ batch: { tokens: 0 } }), /batch\.tokens: came 0 \(number\), expected a number ≥ 1/],
    [
      'bad choice',
      own({ schedule: { kind: 'liner' } }),
      /schedule\.kind: came "liner".*expected one of linear, cosine, constant, triangle,.* bert; did you mean "linear"\?/,
    ],
    [
      'bad head kind',
      own({ heads: { mlm: { kind: 'mlm' } } }),
      /heads\.mlm\.kind: came "mlm".*masked-lm, next-sentence, bigram-shift/,
    ],
    [
      'unknown key of a head',
      own({ heads: { mlm: { kind: 'masked-lm', leyer: 2 } } }),
      /heads\.mlm\.leyer: unknown key; did you mean "layer"\?/,
    ],
    [
      'bad place',
      own({ heads: { mlm: { kind: 'masked-lm', layer: 'haf' } } }),
      /heads\.mlm\.layer: came "haf".*expected a number or one of top, half, third; did you mean "half"\?/,
    ],
    ['no head', own({ heads: {} }), /heads: has no head/],
    [
      'layer above the encoder',
      own({ heads: { mlm: { kind: 'masked-lm', layer: 7 } } }),
      /heads\.mlm\.layer: came 7, expected at most encoder\.layers = 6/,
    ],
    [
      'transfer downwards',
      own({ heads: { mlm: { kind: 'masked-lm', layer: 1, transfer: {} }, nsp } }),
      /heads\.mlm\.transfer: hands over from layer 2 \(heads\.nsp\.layer\) down to layer 1/,
    ],
    [
      'transfer from nowhere',
      own({ heads: { mlm: { kind: 'masked-lm', transfer: {} } } }),
      /heads\.mlm\.transfer\.from: came "nsp", no head has this name/,
    ],
    [
      'transfer from another kind',
      own({ heads: { mlm: { kind: 'masked-lm', transfer: { from: 'b' } }, b: { kind: 'bigram-shift' } } }),
      /heads\.mlm\.transfer\.from: came "b", a head of kind bigram-shift, expected a next-sentence head/,
    ],
    [
      'sentence shift below layer 2',
      own({ heads: { b: { kind: 'bigram-shift', layer: 1 } } }),
      /heads\.b\.layer: came 1, expected at least 2 .*no pair of neighbours has met yet/,
    ],
    [
      'read cls of packed sentences',
      own({ heads: { b: { kind: 'bigram-shift', read: 'cls' } } }),
      /heads\.b\.read: came "cls", expected "mean"/,
    ],
    [
      'two heads of one task',
      own({ heads: { a: { kind: 'masked-lm' }, b: { kind: 'masked-lm' } } }),
      /heads\.b: is a second head of kind masked-lm beside heads\.a/,
    ],
    [
      'next sentence without pairs',
      own({ heads: { nsp }, inputs: { kind: 'segments' } }),
      /inputs\.kind: came "segments", expected "pairs"/,
    ],
    [
      'hidden size not divisible',
      own({ encoder: { hiddenSize: 100, heads: 3 } }),
      /encoder\.hiddenSize: came 100, expected a multiple of encoder\.heads = 3/,
    ],
    ['no budget', { heads: { mlm: { kind: 'masked-lm' } } }, /budget: has no limit, expected exactly one of/],
    ['two budgets', own({ budget: { steps: 1, hours: 1 } }), /budget: has steps and hours, expected exactly one of/],
    ['budget beside stages', own({ stages: [{ budget: { steps: 1 } }] }), /budget: stands beside stages/],
    [
      'a stage without budget',
      { heads: { mlm: { kind: 'masked-lm' } }, stages: [{ budget: {} }] },
      /stages\.0\.budget: has no limit/,
    ],
    [
      'a stage with an unknown head',
      { heads: { mlm: { kind: 'masked-lm' } }, stages: [{ budget: { steps: 1 }, heads: ['nsp'] }] },
      /stages\.0\.heads: names "nsp", expected some of mlm/,
    ],
    [
      'batch below an input',
      own({ batch: { tokens: 64 } }),
      /batch\.tokens: came 64, expected at least batch\.sequenceTokens = 128/,
    ],
    [
      'input above the positions',
      own({ batch: { sequenceTokens: 1024 } }),
      /batch\.sequenceTokens: came 1024, expected at most encoder\.maxPositions = 512/,
    ],
    [
      'masking shares above 1',
      own({ masking: { maskTokenShare: 0.9, randomTokenShare: 0.2 } }),
      /masking\.randomTokenShare: came 0\.2, expected at most 0\.100/,
    ],
    ['fp16 on the CPU', own({ device: 'cpu', precision: 'fp16' }), /precision: came "fp16" with device "cpu"/],
    ['bad device', own({ device: 'gpu' }), /device: came "gpu".*auto, cpu, cuda or cuda:N/],
    [
      'best of an unknown head',
      own({ checkpoint: { best: { metric: 'nsp.loss', mode: 'min' } } }),
      /checkpoint\.best\.metric: came "nsp\.loss"/,
    ],
    [
      'preset without extends',
      own({ preset: 'lower-nsp' }),
      /preset: came "lower-nsp", but only a recipe with "extends" has presets/,
    ],
    ['prototype pollution', JSON.parse('{"__proto__": {"polluted": 1}}'), /__proto__: unknown key/],
    ['not a number', own({ clip: { maxGradNorm: Number.NaN } }), /clip\.maxGradNorm: came NaN/],
    [
      'infinite',
      own({ optimizer: { learningRate: Number.POSITIVE_INFINITY } }),
      /optimizer\.learningRate: came Infinity/,
    ],
  ]
  for (const [title, values, pattern] of table) {
    it(`names the fault: ${title}`, () => {
      const error = failure(() => resolveRecipe(values as any))
      assert.equal(error.code, 'BAD_RECIPE')
      assert.match(error.message, pattern)
    })
  }

  it('lists every problem at once', () => {
    const error = failure(() => resolveRecipe(own({ seed: 'x', encoder: { layer: 4, heads: -1 } }) as any))
    assert.deepEqual((error.details.problems as { key: string }[]).map(({ key }) => key).sort(), [
      'encoder.heads',
      'encoder.layer',
      'seed',
    ])
  })

  it('a stage inherits what it does not say', () => {
    const recipe = resolveRecipe({
      heads: { mlm: { kind: 'masked-lm' }, nsp: { kind: 'next-sentence' } },
      optimizer: { learningRate: 5e-4, weightDecay: 0.1 },
      stages: [
        { name: 'warm', heads: ['mlm'], budget: { steps: 5 }, optimizer: { learningRate: 1e-4 } },
        { budget: { tokens: 1000 } },
      ],
    })
    const [first, second] = stagesOf(recipe)
    assert.deepEqual(
      [first.name, first.heads, first.optimizer.learningRate, first.optimizer.weightDecay],
      ['warm', ['mlm'], 1e-4, 0.1],
    )
    assert.deepEqual([second.name, second.heads, second.optimizer.learningRate], ['stage1', ['mlm', 'nsp'], 5e-4])
  })

  it('a resolved recipe resolves to itself', async () => {
    const source = await loadRecipe('hierarchical-pretrain')
    const overlay = overlayOfSetOptions(['heads.bshift=null', 'encoder.layers=4'])
    const once = resolveRecipe(source.values, { overlay })
    const twice = resolveRecipe(JSON.parse(JSON.stringify(once)))
    assert.deepEqual(JSON.parse(JSON.stringify(twice)), JSON.parse(JSON.stringify(once)))
    assert.deepEqual(Object.keys(once.heads).sort(), ['mlm', 'nsp'])
  })

  it('arbitrary values give a recipe or a typed error', function () {
    this.timeout(30_000)
    const key = fc.oneof(
      fc.constantFrom(
        'encoder',
        'heads',
        'mlm',
        'kind',
        'layer',
        'layers',
        'budget',
        'stages',
        'bigramShift',
        'level',
        'extends',
        'preset',
        'tokenizer',
        'train',
      ),
      fc.string(),
    )
    const scalar = fc.oneof(
      fc.constantFrom('masked-lm', 'top', 'half', 'both', 'hierarchical-pretrain', 'baseline', null, true),
      fc.integer(),
      fc.double(),
      fc.string(),
    )
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        scalar,
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(key, tie('tree'), { maxKeys: 4, noNullPrototype: true }),
      ),
    }))
    fc.assert(
      fc.property(fc.dictionary(key, tree, { maxKeys: 6, noNullPrototype: true }), (values) => {
        try {
          resolveRecipe(values as any)
        } catch (error) {
          assert.ok(error instanceof StrataError && error.code === 'BAD_RECIPE', String((error as Error).stack))
        }
      }),
      { numRuns: 3000, seed: 7 },
    )
    assert.equal(({} as any).polluted, undefined)
  })
})

describe('recipe files', () => {
  it('YAML faults name file, line and key', () => {
    const source = parseRecipeText(
      'name: mine\nencoder:\n  layers: 4\n  layrs: 5\nheads: {mlm: {kind: masked-lm}}\nbudget: {steps: 3}\n',
      'mine.yaml',
    )
    const error = failure(() => resolveRecipe(source.values, source))
    assert.match(
      error.message,
      /^mine\.yaml: encoder\.layrs: unknown key; did you mean "layers"\? \(mine\.yaml line 4\)$/,
    )
  })

  const texts: [string, string, RegExp][] = [
    ['empty', '', /came an empty file/],
    ['a list', '- a', /came no object/],
    ['broken', 'a: [1, 2', /mine\.yaml line 1, column \d+: no valid YAML or JSON/],
    ['a key twice', 'seed: 1\nseed: 2', /mine\.yaml line 2.*unique/],
    [
      'an alias bomb',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'.replace(/./g, (name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[at]}`).join(',')}]\n`)}`,
      /alias/i,
    ],
  ]
  for (const [title, text, pattern] of texts) {
    it(`refuses ${title}`, () => {
      const error = failure(() => parseRecipeText(text, 'mine.yaml'))
      assert.equal(error.code, 'BAD_RECIPE')
      assert.match(error.message, pattern)
    })
  }

  it('arbitrary text gives values or a typed error', function () {
    this.timeout(60_000)
    const fragment = fc.oneof(
      fc.constantFrom(
        'extends: bert-pretrain\n',
        'encoder:\n',
        '  layers: ',
        '- ',
        '[',
        ']',
        '{',
        '}',
        '&a ',
        '*a',
        '<<: ',
        '!!binary ',
        '? ',
        '|\n',
        '\t',
        '\0',
        '\ufeff',
        '---\n',
        'heads: ',
        '"',
        "'",
        '#',
        '%YAML 1.1\n',
        '1e999',
        '.nan',
        '0x',
        'null\n',
        ': ',
      ),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 30 }), (fragments) => {
        try {
          const source = parseRecipeText(fragments.join(''), 'mine.yaml')
          resolveRecipe(source.values, source)
        } catch (error) {
          assert.ok(error instanceof StrataError && error.code === 'BAD_RECIPE', String((error as Error).stack))
        }
      }),
      { numRuns: 4000, seed: 8 },
    )
  })

  it('a missing file, and a name near a recipe', async () => {
    await assert.rejects(loadRecipe('./none.yaml'), { code: 'NOT_FOUND' })
    await assert.rejects(loadRecipe('bert-pretrian'), /did you mean "bert-pretrain"\?/)
  })
})

describe('--set', () => {
  it('reads YAML scalars', () => {
    const overlay = overlayOfSetOptions([
      'a.b=6',
      'a.c=1e-3',
      'd=true',
      'e=[x, 2]',
      'f=text with = sign',
      'g=null',
      'h="6"',
    ])
    assert.deepEqual(overlay, { a: { b: 6, c: 1e-3 }, d: true, e: ['x', 2], f: 'text with = sign', g: null, h: '6' })
  })

  const wrong: [string[], RegExp][] = [
    [['a'], /--set came as "a", expected key\.path=value/],
    [['=3'], /expected key\.path=value/],
    [['a..b=3'], /expected key\.path=value/],
    [['a='], /--set a came without a value/],
    [['a=[1'], /--set a: the value "\[1" is no YAML value/],
    [['a=1', 'a=2'], /--set a came twice/],
    [['__proto__.x=1'], /__proto__: unknown key/],
  ]
  for (const [options, pattern] of wrong) {
    it(`refuses ${options.join(' ')}`, () => {
      const error = failure(() => overlayOfSetOptions(options))
      assert.equal(error.code, 'BAD_RECIPE')
      assert.match(error.message, pattern)
    })
  }

  it('arbitrary options give an overlay or a typed error', function () {
    this.timeout(30_000)
    const option = fc.tuple(
      fc.oneof(fc.constantFrom('encoder.layers', 'stages.0.budget', 'heads.mlm', 'a.__proto__.b'), fc.string()),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(option, { maxLength: 4 }), (options) => {
        try {
          const overlay = overlayOfSetOptions(options.map(([key, value]) => `${key}=${value}`))
          resolveRecipe({ extends: 'hierarchical-pretrain' } as any, { overlay })
        } catch (error) {
          assert.ok(error instanceof StrataError && error.code === 'BAD_RECIPE', String((error as Error).stack))
        }
      }),
      { numRuns: 3000, seed: 9 },
    )
  })

  it('null removes, a budget replaces the whole, a list entry is reached by number', async () => {
    const { values } = await loadRecipe('bert-pretrain')
    const resolve = (...set: string[]) => resolveRecipe(values, { overlay: overlayOfSetOptions(set) })
    assert.deepEqual(Object.keys(resolve('heads.nsp=null').heads), ['mlm'])
    assert.deepEqual(resolve('budget.hours=0.5').budget, { hours: 0.5 })
    const staged = resolve('stages=[{budget: {steps: 3}}, {budget: {steps: 4}}]')
    assert.equal(staged.budget, undefined)
    const again = resolveRecipe(JSON.parse(JSON.stringify(staged)), {
      overlay: overlayOfSetOptions(['stages.1.budget.hours=2']),
    })
    assert.deepEqual(
      again.stages?.map((stage) => stage.budget),
      [{ steps: 3 }, { hours: 2 }],
    )
    assert.throws(() => resolve('stages.0.budget.steps=3'), /stages/)
  })

  it('suggests only what is near', () => {
    assert.equal(nearest('layer', ['layers', 'heads']), 'layers')
    assert.equal(nearest('learningrate', ['learningRate']), 'learningRate')
    assert.equal(nearest('qqqq', ['layers', 'heads']), undefined)
  })
})
