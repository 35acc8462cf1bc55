import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import {
  type CorpusOptions,
  normalizeText,
  openCorpus,
  PackedPlan,
  prefetch,
  type SequenceOrder,
  type TextNormalization,
  type TokenCorpus,
  trainTokenizer,
  unigramScores,
} from '../lib/data/index.js'
import { TextSet } from '../lib/data/text-set.js'
import { type PackedMaskedLmOptions, packedMaskedLmSource } from '../lib/objectives/index.js'
import { modelConfigOf, openRecipe, openRunData, parameterCount, planRun, runRecipe } from '../lib/recipes/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { corpusOf, SPECIAL, syntheticCorpus } from './helpers/synthetic-corpus.js'
import { tinyValues, writeSmallCorpus } from './helpers/tiny-recipe.js'

const LENGTH = 128
const FULL_STOP = 5
const corpus = syntheticCorpus({ documents: 120, sentences: [1, 12] })

/** All documents in a row, a [SEP] behind each, by hand. */
function rowOf(
  { documentCount, documentOffsets, sentenceOffsets, tokenIds }: TokenCorpus,
  documents?: number[],
): number[] {
  const row: number[] = []
  for (const document of documents ?? Array.from({ length: documentCount }, (_, index) => index)) {
    const tokens = tokenIds.subarray(
      sentenceOffsets[documentOffsets[document]],
      sentenceOffsets[documentOffsets[document + 1]],
    )
    if (tokens.length > 0) row.push(...tokens, SPECIAL.sepId)
  }
  return row
}

function cut(row: number[], length: number): number[][] {
  return Array.from({ length: Math.floor(row.length / length) }, (_, i) => row.slice(i * length, (i + 1) * length))
}

describe('packed sequences', () => {
  const base: PackedMaskedLmOptions = {
    corpus,
    special: SPECIAL,
    mlm: { name: 'mlm', maskShare: 0.25, exact: true, exactSplit: true, includeSpecial: true },
    batchTokens: 8 * LENGTH + 100,
    seed: 4,
  }
  const sequences = cut(rowOf(corpus), LENGTH)

  /** The uncorrupted sequences of an epoch in the order in which they come. */
  function epochOf(options: Partial<PackedMaskedLmOptions> = {}, epoch = 0): string[] {
    const source = packedMaskedLmSource({ ...base, ...options })
    const found: string[] = []
    for (let index = 0; index < source.batchCount(epoch); index++) {
      const { tokenIds, labels, sequenceOffsets } = source.build(epoch, index)
      labels.mlm.positions!.forEach((position, i) => {
        tokenIds[position] = labels.mlm.labels[i]
      })
      for (let i = 0; i + 1 < sequenceOffsets.length; i++) {
        found.push(tokenIds.subarray(sequenceOffsets[i], sequenceOffsets[i + 1]).join())
      }
    }
    return found
  }

  it('are the documents in a row, a [SEP] behind each, cut every 128 tokens', () => {
    assert.deepEqual(
      epochOf({ order: 'text' }),
      sequences.map((sequence) => sequence.join()),
    )
    const source = packedMaskedLmSource(base)
    const { inputs, tokens, cutTokens, emptyDocuments, batches } = source.statistics(0)
    assert.deepEqual(
      [inputs, tokens, tokens + cutTokens, emptyDocuments],
      [sequences.length, sequences.length * LENGTH, rowOf(corpus).length, 0],
    )
    assert.equal(batches, Math.ceil(sequences.length / 8))
    const { sequenceOffsets, segmentIds } = source.build(0, 0)
    assert.deepEqual(
      [...sequenceOffsets],
      [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => i * LENGTH),
    )
    assert.ok(segmentIds.every((id) => id === 0))
  })

  it('take only the documents of the view and leave empty ones out', () => {
    const documents = Int32Array.of(3, 7, 8, 9, 15, 40)
    const expected = cut(rowOf(corpus, [...documents]), 32).map((sequence) => sequence.join())
    assert.deepEqual(epochOf({ documents, sequenceTokens: 32, order: 'text' }), expected)
    const holes = corpusOf([[[{ ids: [20, 21] }]], [], [[], [{ ids: [22] }]], []])
    const source = packedMaskedLmSource({ ...base, corpus: holes, sequenceTokens: 5, batchTokens: 5 })
    assert.equal(source.statistics(0).emptyDocuments, 2)
    assert.deepEqual(epochOf({ corpus: holes, sequenceTokens: 5, batchTokens: 5 }), ['20,21,3,22,3'])
  })

  it('are shuffled by seed and epoch, each once an epoch', () => {
    const [first, again, later, other] = [epochOf(), epochOf(), epochOf({}, 1), epochOf({ seed: 5 })]
    assert.deepEqual(first, again)
    assert.notDeepEqual(first, later)
    assert.notDeepEqual(first, other)
    for (const epoch of [first, later, other]) {
      assert.deepEqual([...epoch].sort(), sequences.map((sequence) => sequence.join()).sort())
    }
  })

  it('have exactly round(share · 128) targets: 26 become [MASK], 3 random, 3 stay; [SEP] is not exempt', () => {
    const source = packedMaskedLmSource({ ...base, order: 'text' })
    let separators = 0
    for (let index = 0; index < source.batchCount(0); index++) {
      const { tokenIds, labels, sequenceOffsets } = source.build(0, index)
      const { positions, labels: targets } = labels.mlm
      assert.deepEqual(
        [...positions!],
        [...positions!].sort((a, b) => a - b),
      )
      for (let i = 0; i + 1 < sequenceOffsets.length; i++) {
        const mine = [...positions!.keys()].filter(
          (j) => positions![j] >= sequenceOffsets[i] && positions![j] < sequenceOffsets[i + 1],
        )
        assert.equal(mine.length, 32)
        assert.equal(mine.filter((j) => tokenIds[positions![j]] === SPECIAL.maskId).length, 26)
        const kept = mine.filter((j) => tokenIds[positions![j]] === targets[j]).length
        // A random token may happen to be the same one.
        assert.ok(kept === 3 || kept === 4, `${kept} kept`)
        separators += mine.filter((j) => targets[j] === SPECIAL.sepId).length
      }
    }
    assert.ok(separators > 0)
  })

  it('exempt special tokens when asked to, and draw each fate by itself without exactSplit', () => {
    const mlm = { name: 'mlm', maskShare: 0.15, exact: true }
    const source = packedMaskedLmSource({ ...base, mlm })
    const masked: number[] = []
    for (let index = 0; index < source.batchCount(0); index++) {
      const { tokenIds, labels, sequenceOffsets } = source.build(0, index)
      assert.equal(labels.mlm.labels.length, (sequenceOffsets.length - 1) * 19)
      assert.ok(!labels.mlm.labels.includes(SPECIAL.sepId))
      masked.push(labels.mlm.positions!.filter((position) => tokenIds[position] === SPECIAL.maskId).length)
    }
    assert.ok(new Set(masked).size > 1)
  })

  it('are met likely first or with most full stops first, ties in the order of the text', () => {
    const counts = new Map<number, number>()
    for (const id of sequences.flat()) counts.set(id, (counts.get(id) ?? 0) + 1)
    const total = sequences.length * LENGTH + SPECIAL.vocabSize
    const scores = sequences.map((sequence) => {
      return sequence.reduce((sum, id) => sum + Math.log2((counts.get(id)! + 1) / total), 0) / LENGTH
    })
    const stops = sequences.map((sequence) => sequence.filter((id) => id === FULL_STOP).length)
    const sorted = (values: number[]) =>
      sequences
        .map((sequence, index) => ({ key: sequence.join(), value: values[index], index }))
        .sort((a, b) => b.value - a.value || a.index - b.index)
        .map(({ key }) => key)
    const fullStopId = FULL_STOP
    assert.deepEqual(epochOf({ order: 'unigram' }), sorted(scores))
    assert.deepEqual(epochOf({ order: 'sentence-length', fullStopId }), sorted(stops))
    assert.deepEqual(epochOf({ order: 'unigram' }, 3), sorted(scores))
    const plan = new PackedPlan(corpus, {
      sequenceTokens: LENGTH,
      batchTokens: LENGTH,
      separatorId: SPECIAL.sepId,
      vocabSize: SPECIAL.vocabSize,
      seed: 1,
    })
    unigramScores(plan, SPECIAL.vocabSize).forEach((score, index) => {
      assert.ok(Math.abs(score / Math.LN2 - scores[index]) < 1e-12)
    })
  })

  it('of held-out documents come in the order of the text, with the same masks in every epoch', () => {
    const source = packedMaskedLmSource({ ...base, order: 'unigram', evaluation: true })
    assert.deepEqual(source.build(6, 1), source.build(0, 1))
    assert.deepEqual(epochOf({ evaluation: true }), epochOf({ order: 'text' }))
    assert.notDeepEqual(source.build(0, 0).labels, packedMaskedLmSource({ ...base, order: 'text' }).build(0, 0).labels)
  })

  it('are the same whatever the batch size is and however many workers build them', async function () {
    this.timeout(20_000)
    const inputs = (batchTokens: number) => {
      const source = packedMaskedLmSource({ ...base, batchTokens })
      const found: string[] = []
      for (let index = 0; index < source.batchCount(1); index++) {
        const { tokenIds, sequenceOffsets } = source.build(1, index)
        for (let i = 0; i + 1 < sequenceOffsets.length; i++) {
          found.push(tokenIds.subarray(sequenceOffsets[i], sequenceOffsets[i + 1]).join())
        }
      }
      return found
    }
    assert.deepEqual(inputs(LENGTH), inputs(11 * LENGTH))
    const source = packedMaskedLmSource({ ...base, order: 'unigram' })
    for (const workers of [0, 2]) {
      const seen: unknown[] = []
      for await (const { epoch, index, batch } of prefetch(source, { workers, index: 2, epochs: 1 })) {
        seen.push(epoch)
        assert.deepEqual(batch, source.build(epoch, index), `batch ${index} with ${workers} workers`)
      }
      assert.equal(seen.length, source.batchCount(0) - 2)
    }
  })

  it('are refused with the reason where they cannot be', () => {
    const refuses = (change: Partial<PackedMaskedLmOptions>, code: string, message: RegExp): void => {
      assert.throws(() => packedMaskedLmSource({ ...base, ...change }).build(0, 0), { code, message })
    }
    refuses({ batchTokens: 100 }, 'BAD_ARGUMENT', /sequenceTokens \(128\)/)
    refuses({ sequenceTokens: 1 }, 'BAD_ARGUMENT', /sequenceTokens 1/)
    refuses({ documents: Int32Array.of(500) }, 'BAD_ARGUMENT', /document 500/)
    refuses({ documents: new Int32Array(0) }, 'BAD_DATA', /at least one sequence of 128/)
    refuses({ order: 'sentence-length' }, 'BAD_ARGUMENT', /the token "\."/)
    refuses({ order: 'length' as SequenceOrder }, 'BAD_ARGUMENT', /order is "length"/)
    refuses({ special: { ...SPECIAL, vocabSize: 100 } }, 'BAD_DATA', /the vocabulary has 100/)
    assert.throws(() => packedMaskedLmSource(base).build(0, 9999), { code: 'BAD_ARGUMENT', message: /batch 9999/ })
  })
})

describe('plain text', () => {
  const golden: { texts: string[]; cases: { options: TextNormalization; texts: string[] }[] } = JSON.parse(
    readFileSync(join(__dirname, 'golden/cramming_text.json'), 'utf8'),
  )
  for (const { options, texts } of golden.cases) {
    const named = Object.entries(options).flatMap(([name, on]) => (on ? [name] : []))
    it(`${named.join(', ') || 'as it is'}: as the tokenizers library makes it`, () => {
      assert.deepEqual(
        golden.texts.map((text) => normalizeText(text, options)),
        texts,
      )
    })
  }
})

describe('a set of texts', () => {
  it('knows what it has seen, also after it has grown', () => {
    const set = new TextSet()
    for (let i = 0; i < 5000; i++) assert.ok(set.add(`text ${i}`))
    for (let i = 0; i < 5000; i += 7) assert.ok(!set.add(`text ${i}`))
    assert.ok(set.add(''))
    assert.ok(!set.add(''))
  })
})

describe('corpus filters', function () {
  this.timeout(20_000)
  let folder: string
  let tokenizer: Tokenizer
  let input: string
  let cacheDirectory: string

  const prose = 'The first of these was in the city. It was one of the new ones.'
  const documents = [
    prose,
    'Ça n’était pas “là”. The year was the same.',
    prose,
    'xq zzkw 0x4f 9f8e7d6c5b4a [[{{}}]] %%% ||| zq zj kx qj',
    'He was there at the time, and she was not. They had been there before.',
    `${prose}\nA second paragraph of the same text.`,
    'HE WAS there at the time, and she was not. They had been there before.',
  ]

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-filters-'))
    tokenizer = await Tokenizer.load(resolve(__dirname, 'golden/tokenizer-vocab.txt'))
    input = join(folder, 'text.txt')
    cacheDirectory = join(folder, 'cache')
    writeFileSync(input, `${documents.join('\n\n')}\n`)
  })
  after(() => rmSync(folder, { recursive: true }))

  const open = (options: Partial<CorpusOptions> = {}) =>
    openCorpus({ inputs: [input], tokenizer, cacheDirectory, ...options })

  /** Tokens of each document. */
  const sizes = ({ documentCount, documentOffsets, sentenceOffsets }: TokenCorpus) =>
    Array.from({ length: documentCount }, (_, document) => {
      return sentenceOffsets[documentOffsets[document + 1]] - sentenceOffsets[documentOffsets[document]]
    })

  it('leave everything as it is by default, with the same key', async () => {
    const plain = await open()
    const off = await open({ normalize: { lowercase: false }, dropDuplicates: false })
    assert.equal(plain.documentCount, documents.length)
    assert.equal(off.key, plain.key)
    assert.ok(off.reused)
    assert.equal(plain.statistics.duplicateDocuments, undefined)
  })

  it('remove exact copies, judged by the text as it is tokenised, and count them', async () => {
    const { statistics, documentCount } = await open({ dropDuplicates: true })
    assert.deepEqual([documentCount, statistics.documents], [6, 6])
    assert.deepEqual([statistics.duplicateDocuments, statistics.duplicateCharacters], [1, prose.length])
    const lower = await open({ dropDuplicates: true, normalize: { lowercase: true } })
    assert.equal(lower.statistics.duplicateDocuments, 2)
  })

  it('remove documents with too many tokens a character, at the limit too, and count what stays', async () => {
    const all = await open()
    const characters = documents.map((document) => document.length)
    const ratios = sizes(all).map((tokens, i) => tokens / characters[i])
    const worst = Math.max(...ratios)
    assert.equal(ratios.indexOf(worst), 3)
    const found = await open({ maxTokensPerCharacter: worst })
    assert.deepEqual(
      sizes(found),
      sizes(all).filter((_, i) => i !== 3),
    )
    const { incompressibleDocuments, incompressibleCharacters, incompressibleTokens, words, tokens } = found.statistics
    assert.deepEqual(
      [incompressibleDocuments, incompressibleCharacters, incompressibleTokens],
      [1, characters[3], sizes(all)[3]],
    )
    assert.equal(tokens, all.statistics.tokens - sizes(all)[3])
    assert.ok(words < all.statistics.words)
    assert.equal((await open({ maxTokensPerCharacter: worst * 1.001 })).documentCount, documents.length)
    await assert.rejects(open({ maxTokensPerCharacter: 0.01 }), {
      code: 'BAD_DATA',
      message: /all documents were removed \(7 with 0\.01 tokens a character or more, 0 copies\)/,
    })
    await assert.rejects(open({ maxTokensPerCharacter: 0 }), {
      code: 'BAD_ARGUMENT',
      message: /maxTokensPerCharacter is 0/,
    })
  })

  it('normalise sentence by sentence, so that borders are found in the text as it was', async () => {
    const normalize = { lowercase: true, stripAccents: true, ascii: true }
    const plain = await open({ normalize })
    const all = await open()
    assert.deepEqual(plain.documentOffsets, all.documentOffsets)
    const words = [...plain.tokenIds.subarray(sizes(plain)[0], sizes(plain)[0] + sizes(plain)[1])]
    const { tokenIds } = await tokenizer.encode('ca netait pas la. the year was the same.', { addSpecialTokens: false })
    assert.deepEqual(words, [...tokenIds])
  })

  it('give another corpus for other options, which is found again in the cache', async () => {
    const choices: Partial<CorpusOptions>[] = [
      {},
      { maxTokensPerCharacter: 0.5 },
      { maxTokensPerCharacter: 0.6, dropDuplicates: true },
      { normalize: { ascii: true } },
    ]
    const opened = await Promise.all(choices.map((choice) => open(choice)))
    assert.equal(new Set(opened.map(({ key }) => key)).size, choices.length)
    const again = await open(choices[2])
    assert.ok(again.reused)
    assert.deepEqual(again.statistics, opened[2].statistics)
    assert.ok(readdirSync(cacheDirectory).every((name) => /^[0-9a-f]{40}$/.test(name)))
  })

  it('learn the vocabulary from the plain text', async () => {
    const letters = async (normalize?: TextNormalization) => {
      const { tokenizer } = await trainTokenizer({ inputs: [input], vocabSize: 400, lowercase: false, normalize })
      return tokenizer.vocabulary().join('')
    }
    assert.match(await letters(), /Ç/)
    assert.doesNotMatch(
      (await letters({ ascii: true, lowercase: true })).replace(/\[[A-Z]+\]/g, ''),
      /[^\x21-\x7e]|[A-Z]/,
    )
  })

  it("are a recipe's: counts stand among the notes of the run, held-out text is not filtered", async () => {
    const heldOut = join(folder, 'held-out.txt')
    writeFileSync(heldOut, `${prose}\n\n${prose}\n`)
    const recipe = await openRecipe('bert-pretrain', {
      overlay: {
        data: { corpus: input, heldOut },
        tokenizer: resolve(__dirname, 'golden/tokenizer-vocab.txt'),
        heads: { nsp: null },
        inputs: { kind: 'packed', order: 'sentence-length' },
        batch: { tokens: 64, sequenceTokens: 16 },
        text: { normalize: { lowercase: true }, dropDuplicates: true, maxTokensPerCharacter: 0.9 },
      },
    })
    const { notes, text } = await openRunData(recipe, { cacheDirectory })
    assert.ok(notes.some((note) => /^2 documents were exact copies of others, removed \(\d+ characters\)/.test(note)))
    assert.ok(notes.some((note) => /^0 documents had too many tokens a character/.test(note)))
    assert.deepEqual([text!.training.documents.length, text!.heldOut!.documents.length], [5, 2])
  })
})

describe('the recipe cramming', function () {
  this.timeout(60_000)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-cramming-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  it('has the published settings, full size, in three presets; one of ours is small', async () => {
    const of = (preset: string) => openRecipe('cramming', { overlay: { preset, data: { corpus: 'text.txt' } } })
    const [paper, o4, o3] = await Promise.all([of('paper'), of('bert-o4'), of('bert-o3')])
    for (const recipe of [paper, o4, o3]) {
      const { kind, layers, hiddenSize, heads, intermediateSize, hiddenDropout, attentionDropout } = recipe.encoder
      assert.deepEqual(
        [kind, layers, hiddenSize, heads, intermediateSize, hiddenDropout, attentionDropout],
        ['crammed', 16, 768, 12, 3072, 0, 0],
      )
      const { learningRate, beta1, beta2, epsilon, weightDecay } = recipe.optimizer
      assert.deepEqual([learningRate, beta1, beta2, epsilon, weightDecay], [1e-3, 0.9, 0.98, 1e-12, 0.01])
      assert.deepEqual([recipe.clip.maxGradNorm, recipe.schedule.warmup, recipe.budget], [0.5, 0, { hours: 24 }])
      assert.deepEqual(recipe.tokenizer, { train: { vocabSize: 32_768, lowercase: true } })
      // The paper's 119.6 M, as test/golden/crammed.py counts them from PyTorch modules of its own.
      assert.equal(parameterCount(modelConfigOf(recipe, 32_768)), 119_589_889)
    }
    assert.deepEqual(
      [paper, o4, o3].map(({ masking, schedule, batch, text, inputs }) => [
        masking.maskShare,
        schedule.kind,
        (batch.tokens / 128) * batch.accumulation,
        batch.accumulationRamp,
        text.maxTokensPerCharacter,
        inputs.order,
      ]),
      [
        [0.15, 'one-cycle', 4096, 300_000, 0.3, 'unigram'],
        [0.25, 'triangle2', 8192, 0.6, 0.25, 'sentence-length'],
        [0.15625, 'triangle2', 4096, 300_000, 0.3, 'unigram'],
      ],
    )
    // Ours, and what the figures of docs/cramming.md were made with.
    const cpu = await of('cpu')
    assert.deepEqual(
      [
        cpu.encoder.layers,
        cpu.encoder.hiddenSize,
        cpu.batch.tokens,
        cpu.batch.accumulation,
        cpu.batch.accumulationRamp,
      ],
      [4, 256, 2048, 1, 0],
    )
    assert.deepEqual(
      [cpu.optimizer.learningRate, cpu.masking.maskShare, cpu.schedule.kind, cpu.inputs.order, cpu.budget],
      [2e-3, 0.25, 'triangle2', 'shuffle', { hours: 0.5 }],
    )
    const layer = 4 * 256 * 256 + 256 * 1024 + 512 * 256 + 4 * 256
    assert.equal(parameterCount(modelConfigOf(cpu, 4096)), 4096 * 256 + 4 * layer + 4 * 256 + 1)
    await assert.rejects(
      openRecipe('cramming', { overlay: { data: { corpus: 'x' }, bigramShift: { level: 'sentence' } } }),
      /packed text is for masked LM alone/,
    )
    await assert.rejects(
      openRecipe('cramming', { overlay: { data: { corpus: 'x' }, batch: { accumulationRamp: 1.5 } } }),
      /accumulationRamp: came 1\.5/,
    )
    await assert.rejects(
      openRecipe('cramming', { overlay: { data: { corpus: 'x' }, sampler: { kind: 'shuffled' } } }),
      /accumulationRamp: came 0\.6 with the sampler "shuffled"/,
    )
    await assert.rejects(
      openRecipe('bert-pretrain', { overlay: { data: { corpus: 'x' }, inputs: { order: 'unigram' } } }),
      /inputs\.order: came "unigram" with inputs\.kind "auto"/,
    )
  })

  it('fine-tuning with its one setting starts each task anew', async () => {
    const recipe = await openRecipe('fine-tune', {
      overlay: { preset: 'crammed', data: { rte: folder, sst2: folder } },
    })
    const [stage] = recipe.stages!
    const { learningRate, beta2, weightDecay } = stage.optimizer
    assert.deepEqual([learningRate, beta2, weightDecay, stage.clip.maxGradNorm], [4e-5, 0.98, 0, 0])
    assert.deepEqual([stage.schedule.kind, stage.schedule.warmup, stage.budget], ['cosine', 0.1, { epochs: 5 }])
    assert.deepEqual([stage.batch.sequences, stage.batch.sequenceTokens], [16, 128])
    assert.deepEqual([stage.eachTask, stage.startFrom, recipe.encoder.hiddenDropout], [true, 'initial', 0.1])
    for (const { head } of Object.values(recipe.tasks)) assert.deepEqual([head.pooler, head.poolerSize], ['own', 1024])
    const shared = (head: object) =>
      openRecipe('fine-tune', { overlay: { preset: 'crammed', data: { rte: folder }, taskDefaults: { head } } })
    const { rte } = (await shared({ pooler: 'shared', poolerSize: null })).tasks
    assert.deepEqual([rte.head.pooler, rte.head.poolerSize], ['shared', undefined])
    await assert.rejects(
      shared({ pooler: 'shared' }),
      /tasks\.rte\.head\.poolerSize: came 1024 with pooler "shared", expected pooler: own/,
    )
  })

  it('trains in small as planned: packed batches that grow', async () => {
    const corpus = join(folder, 'text.txt')
    writeSmallCorpus(corpus, 40)
    const recipe = await openRecipe('cramming', {
      overlay: tinyValues(corpus, {
        bigramShift: { level: 'none' },
        encoder: { layers: 2, hiddenSize: 32, heads: 2, intermediateSize: 64, maxPositions: 32 },
        text: { maxTokensPerCharacter: 0.9 },
        batch: { tokens: 256, sequenceTokens: 32, accumulation: 4, accumulationRamp: 0.6 },
        budget: { steps: 6 },
        checkpoint: { everySteps: 0 },
      }),
    })
    const cacheDirectory = join(folder, 'cache')
    const data = await openRunData(recipe, { cacheDirectory })
    const { stages } = planRun(recipe, data, { tokensPerSecond: 100 })
    assert.ok(Math.abs(stages[0].hours! - stages[0].tokens! / 360_000) < 1 / 360_000)
    const timed = planRun({ ...recipe, budget: { hours: 0.5 } }, data, { tokensPerSecond: 100 }).stages[0]
    // 180,000 tokens or up to one step more.
    assert.ok(timed.tokens! >= 180_000 && timed.tokens! < 180_000 + 5 * 256, `${timed.tokens} tokens`)
    assert.ok(timed.steps! > 180_000 / (4 * 256) && timed.hours === 0.5, `${timed.steps} steps`)
    assert.equal(planRun({ ...recipe, budget: { hours: 0.5 } }, data).stages[0].steps, null)
    const output = join(folder, 'run')
    const { state, status, notes, checkpoint } = await runRecipe(recipe, { output, cacheDirectory })
    assert.match(readFileSync(join(checkpoint!, 'README.md'), 'utf8'), /transformers has no such encoder \(crammed\)/)
    // x = 0, 1/6 … 5/6: floor(x * 4 / 0.6) + 1 = 1, 2, 3, 4, 5, 6 batches, 4 at most.
    assert.deepEqual([status, state.step, state.tokens], ['completed', 6, (1 + 2 + 3 + 4 + 4 + 4) * 256])
    // The plan knows that the last batch of a pass is shorter, and spreads it.
    assert.ok(Math.abs(stages[0].tokens! - state.tokens) < 64, `${stages[0].tokens} planned`)
    assert.ok(notes.some((note) => /^\d+ documents were exact copies/.test(note)))
  })
})
