import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { type CorpusOptions, openCorpus, type PackedBatch, parseOrigins, type TokenCorpus } from '../lib/data/index.js'
import { AttachmentTally, type HeadScores, headFigures } from '../lib/evaluation/index.js'
import { Encoder } from '../lib/inference/index.js'
import { loadModel, Model, readModelFolder } from '../lib/model/index.js'
import { AgreementLabels } from '../lib/objectives/agreement.js'
import { type PackedMaskedLmOptions, packedMaskedLmSource } from '../lib/objectives/index.js'
import {
  evaluateCheckpoint,
  memoryWithoutData,
  mergeValues,
  openRecipe,
  openRunData,
  planRun,
  type RunResult,
  runRecipe,
  type ShownAgreements,
  type StageSpeeds,
  type Values,
} from '../lib/recipes/index.js'
import { modelConfigOf } from '../lib/recipes/model-of-recipe.js'
import { stagesOf } from '../lib/recipes/recipe-stages.js'
import { brief } from '../lib/report/curves.js'
import { lastScores } from '../lib/report/last-scores.js'
import { findLibtorch } from '../lib/runtime/index.js'
import { RELATION_PRESETS, TokenChunker, Tokenizer } from '../lib/text/index.js'
import { budgetProgress, budgetUnit, namedScores, secondsLeft, TrainingEvents } from '../lib/training/index.js'
import { stageEnd } from '../lib/training/stage-chain.js'
import { runHere } from './helpers/cli-here.js'
import { COMMAND_LINE } from './helpers/cli-process.js'
import { makeSentences } from './helpers/small-treebank.js'
import { corpusOf } from './helpers/synthetic-corpus.js'
import { tinyValues } from './helpers/tiny-recipe.js'

const LENGTH = 24
const PUNCTUATION = ['.', ',', "'", '-', '(', ')']
const sentences = makeSentences(60, 'ud')
const words = [...new Set(sentences.flatMap((sentence) => sentence.words.map((word) => word.toLowerCase())))]
const tokenizer = Tokenizer.fromVocabulary([
  ...new Set([
    '[PAD]',
    '[UNK]',
    '[CLS]',
    '[SEP]',
    '[MASK]',
    ...PUNCTUATION,
    ...words,
    'the',
    'cafe',
    '##teria',
    '##s',
    'a',
  ]),
])
const groups = Object.keys(RELATION_PRESETS.default.groups)

/** Ten sentences a document. */
function conllu(forms: (sentence: number, word: number) => string): string {
  const lines = sentences.flatMap(({ words, upos, heads, relations }, sentence) => [
    ...(sentence % 10 === 0 ? [`# newdoc id = ${sentence}`] : []),
    ...words.map((_, word) =>
      [word + 1, forms(sentence, word), '_', upos[word], '_', '_', heads[word] + 1, relations[word], '_', '_'].join(
        '\t',
      ),
    ),
    '',
  ])
  return `${lines.join('\n')}\n`
}

describe('DACBERT', function () {
  this.timeout(60_000)
  const folder = mkdtempSync(join(tmpdir(), 'dacbert-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  const open = (path: string, options: Partial<CorpusOptions> = {}) =>
    openCorpus({
      inputs: [path],
      tokenizer,
      cacheDirectory: join(folder, 'cache'),
      chunks: { ...RELATION_PRESETS.default, longestSentence: LENGTH },
      ...options,
    })
  const asIs = (sentence: number, word: number): string => sentences[sentence].words[word]
  /** All sentences, opened once. */
  let opened: ReturnType<typeof open> | undefined
  const treebank = () => {
    opened ??= open(file('treebank.conllu', conllu(asIs)))
    return opened
  }

  /** Head chunk's tokens by the tokens of each chunk of a sentence. */
  function attachments({ chunks, sentenceOffsets, tokenIds }: TokenCorpus, sentence: number, relation: string) {
    const { ids, offsets, targets, relations } = chunks!
    const text = (chunk: number): string =>
      [...tokenIds.subarray(sentenceOffsets[sentence], sentenceOffsets[sentence + 1])]
        .filter((_, token) => ids[sentenceOffsets[sentence] + token] === chunk)
        .map((id) => tokenizer.idToToken(id))
        .join(' ')
    const found: Record<string, string | number> = {}
    for (let chunk = 0; chunk < offsets[sentence + 1] - offsets[sentence]; chunk++) {
      const head = targets[(offsets[sentence] + chunk) * relations.length + relations.indexOf(relation)]
      found[text(chunk)] = head < 0 ? head : text(head)
    }
    return found
  }

  describe('corpora with chunks', () => {
    const cafe = [
      '# newdoc',
      '1\tTHE\t_\tDET\t_\t_\t2\tdet\t_\t_',
      '2-3\tCafétéria’s\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No',
      '2\tCafétéria\t_\tNOUN\t_\t_\t5\tnsubj\t_\t_',
      '3\t’s\t_\tPART\t_\t_\t2\tcase\t_\t_',
      '4\t–\t_\tPUNCT\t_\t_\t5\tpunct\t_\t_',
      '5\ta\t_\tVERB\t_\t_\t0\troot\t_\t_',
      '',
      '',
    ].join('\n')

    it("gives word pieces their word's chunk after lower case, accents and ASCII", async () => {
      const normalize = { lowercase: true, stripAccents: true, ascii: true }
      // Without ASCII the apostrophe, the letter behind it and the dash are [UNK]; with it two of them are gone.
      const cases: [Partial<CorpusOptions>, string, number[]][] = [
        [{}, 'the cafe ##teria [UNK] [UNK] [UNK] a', [0, 0, 0, 1, 1, 2, 3]],
        [{ normalize }, 'the cafe ##teria ##s a', [0, 0, 0, 1, 2]],
      ]
      for (const [options, pieces, chunks] of cases) {
        const corpus = await open(file('cafe.conllu', cafe), options)
        assert.equal([...corpus.tokenIds].map((id) => tokenizer.idToToken(id)).join(' '), pieces)
        assert.deepEqual([...corpus.chunks!.ids], chunks)
        assert.equal(attachments(corpus, 0, 'subj')['the cafe ##teria'], 'a')
      }
    })

    it('cuts long sentences between chunks, and tells what it does not know', async () => {
      const whole = await open(file('all.conllu', conllu(asIs)), {
        chunks: { ...RELATION_PRESETS.default, longestSentence: 512 },
      })
      const cut = await open(join(folder, 'all.conllu'), {
        chunks: { ...RELATION_PRESETS.default, longestSentence: 6 },
      })
      const plain = await open(join(folder, 'all.conllu'), { chunks: undefined })
      assert.deepEqual(cut.tokenIds, whole.tokenIds)
      assert.deepEqual(plain.tokenIds, whole.tokenIds)
      assert.equal(plain.chunks, undefined)
      assert.equal(whole.statistics.sentences, sentences.length)
      assert.ok(cut.statistics.cutSentences! > 0 && cut.statistics.sentences > whole.statistics.sentences)
      assert.equal(cut.statistics.chunks, whole.statistics.chunks, 'no chunk is cut')
      for (let sentence = 0; sentence < cut.statistics.sentences; sentence++) {
        assert.ok(cut.sentenceOffsets[sentence + 1] - cut.sentenceOffsets[sentence] <= 6)
      }
      // A target is the same, or its head stands in another part.
      const firstOf = (corpus: TokenCorpus) => {
        const { ids, offsets } = corpus.chunks!
        const sentenceOf = (chunk: number) => offsets.findIndex((_, i) => offsets[i] <= chunk && chunk < offsets[i + 1])
        return { ids, start: (chunk: number) => offsets[sentenceOf(chunk)] }
      }
      const [inWhole, inCut] = [firstOf(whole), firstOf(cut)]
      let lost = 0
      whole.chunks!.targets.forEach((target, place) => {
        const other = cut.chunks!.targets[place]
        const chunk = Math.floor(place / groups.length)
        if (target < 0) assert.equal(other, target)
        else if (other === -100) lost++
        else assert.equal(other + inCut.start(chunk), target + inWhole.start(chunk))
      })
      assert.ok(lost > 0 && lost < cut.statistics.cutSentences! * 12)
      const again = await open(join(folder, 'all.conllu'), {
        chunks: { ...RELATION_PRESETS.default, longestSentence: 6 },
      })
      assert.ok(again.reused)
      assert.deepEqual(again.chunks, cut.chunks)
    })

    it('chunks plain text by the lexicon, without relations', async () => {
      const text = sentences.map((sentence) => sentence.text).join('\n')
      const corpus = await open(file('plain.txt', text))
      assert.equal(corpus.statistics.unparsedSentences, corpus.statistics.sentences - corpus.statistics.cutSentences!)
      assert.ok(corpus.chunks!.ids.every((id) => id >= 0))
      assert.ok(corpus.chunks!.targets.every((target) => target === -100))
    })
  })

  describe('words without a head', () => {
    const partly = [
      '1\tDogs\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_',
      '2\tsee\t_\tVERB\t_\t_\t_\t_\t_\t_',
      '3\tthe\t_\tDET\t_\t_\t4\tdet\t_\t_',
      '4\tcafeteria\t_\tNOUN\t_\t_\t_\tobj\t_\t_',
      '5\tin\t_\tADP\t_\t_\t_\tcase\t_\t_',
      '6\ttown\t_\tNOUN\t_\t_\t5\tpobj\t_\t_',
      '',
      '',
    ].join('\n')

    it('have no target, nor has what hangs on them through a marker; their sentences are counted', async () => {
      const { chunks, statistics } = await open(file('partly.conllu', partly))
      const { relations, targets } = chunks!
      const columns = relations.map((_, r) => [...targets].filter((_, place) => place % relations.length === r))
      // Chunks: dogs, see, the cafeteria, in, town. The marker takes part in nothing.
      assert.deepEqual(columns[0], [1, -100, -100, -1, -100])
      for (const column of columns.slice(1)) assert.deepEqual(column, [-1, -100, -100, -1, -100])
      assert.deepEqual([statistics.unparsedSentences, statistics.partlyParsedSentences], [0, 1])
      assert.deepEqual(statistics.relatedChunks, { subj: 1, obj: 0, nmod: 0, obl: 0 })
      assert.deepEqual(statistics.parseLabels, { nsubj: 1, _: 1, det: 1, obj: 1, case: 1, pobj: 1 })
    })

    it('leave agreements open that take several arcs, but for those that are there', async () => {
      const bacon = { ...RELATION_PRESETS.bacon, longestSentence: LENGTH }
      const { chunks } = await open(join(folder, 'partly.conllu'), { chunks: bacon })
      const column = (relation: string) => {
        const { relations, targets } = chunks!
        return [...targets].filter((_, place) => place % relations.length === relations.indexOf(relation))
      }
      assert.deepEqual(column('subject'), [1, -100, -100, -100, -100, -100])
      assert.deepEqual(column('predicate'), Array(6).fill(-100))
      assert.deepEqual(column('determiner'), [-1, -100, 3, -100, -1, -100])
    })
  })

  describe('batches', () => {
    const mlm = {
      maskShare: 0.25,
      exact: true,
      exactSplit: true,
      includeSpecial: true,
      maskTokenShare: 1,
      randomTokenShare: 0,
    }
    const base: Omit<PackedMaskedLmOptions, 'corpus'> = {
      special: tokenizer.specialTokens,
      mlm: { ...mlm, name: 'mlm' },
      agreements: Object.fromEntries(groups.map((group) => [group, group])),
      batchTokens: 4 * LENGTH,
      sequenceTokens: LENGTH,
      order: 'text',
      seed: 3,
    }

    it('never let a masked word leak: other words there change nothing but the labels of masked LM', async () => {
      const corpus = await treebank()
      const source = packedMaskedLmSource({ ...base, corpus })
      const batches = Array.from({ length: source.batchCount(0) }, (_, index) => source.build(0, index))
      // The place of every corpus token in the row of documents, to find the words that were masked.
      const masked = new Set<number>()
      const places: number[] = []
      for (let document = 0; document < corpus.documentCount; document++) {
        const [first, end] = [corpus.documentOffsets[document], corpus.documentOffsets[document + 1]]
        for (let token = corpus.sentenceOffsets[first]; token < corpus.sentenceOffsets[end]; token++) places.push(token)
        places.push(-1)
      }
      batches.forEach(({ labels }, index) => {
        for (const position of labels.mlm.positions!) masked.add(places[index * 4 * LENGTH + position])
      })
      // One token a word here: word i of the file is token i of the corpus.
      let token = 0
      const numbers = sentences.map(({ words }) => words.map(() => token++))
      assert.equal(token, corpus.tokenCount)
      const other = conllu((sentence, word) => {
        const form = asIs(sentence, word)
        if (!masked.has(numbers[sentence][word])) return form
        return words[(words.indexOf(form.toLowerCase()) + 7) % words.length]
      })
      const changed = packedMaskedLmSource({ ...base, corpus: await open(file('second.conllu', other)) })
      let changedLabels = 0
      batches.forEach((batch, index) => {
        const twin = changed.build(0, index)
        const { mlm: before, ...rest } = batch.labels
        const { mlm: after, ...twinRest } = twin.labels
        assert.deepEqual({ ...twin, labels: twinRest }, { ...batch, labels: rest })
        assert.deepEqual(after.positions, before.positions)
        before.labels.forEach((label, i) => {
          if (label !== tokenizer.specialTokens.sepId) changedLabels += Number(label !== after.labels[i])
        })
      })
      assert.ok(changedLabels > 0.9 * masked.size, `${changedLabels} of ${masked.size}`)
    })

    it('that train no submodels come without chunks as often as asked, alike every time; held-out ones never', async () => {
      const corpus = await treebank()
      const options = { ...base, batchTokens: LENGTH, agreements: {}, corpus }
      const whole = packedMaskedLmSource(options)
      const half = packedMaskedLmSource({ ...options, plainShare: 0.5 })
      let plain = 0
      let batches = 0
      for (let epoch = 0; epoch < 20; epoch++) {
        for (let index = 0; index < half.batchCount(0); index++) {
          const [batch, again] = [half.build(epoch, index), half.build(epoch, index)]
          assert.deepEqual(batch, again)
          const { chunks, ...rest } = whole.build(epoch, index)
          assert.deepEqual(batch, batch.chunks ? { ...rest, chunks } : rest)
          batches++
          plain += Number(!batch.chunks)
        }
      }
      // Within four standard deviations.
      assert.ok(Math.abs(plain - batches / 2) < 2 * Math.sqrt(batches), `${plain} of ${batches}`)
      assert.equal(packedMaskedLmSource({ ...options, plainShare: 1 }).build(0, 0).chunks, undefined)
      for (const other of [{ evaluation: true }, { agreements: base.agreements }])
        assert.ok(packedMaskedLmSource({ ...options, plainShare: 1, ...other }).build(0, 0).chunks)
    })

    it('carry the chunks and targets of the corpus, cut where the sequence is', async () => {
      const corpus = await treebank()
      const source = packedMaskedLmSource({ ...base, corpus })
      assert.deepEqual(source.heads, ['mlm', ...groups])
      let participants = 0
      let unknown = 0
      for (let index = 0; index < source.batchCount(0); index++) {
        const batch = source.build(0, index)
        checkChunks(batch)
        for (const group of groups) {
          batch.labels[group].labels.forEach((label, chunk) => {
            if (label === -100) unknown++
            if (label < 0) return
            participants++
            assert.notEqual(label, chunk)
            assert.equal(batch.chunks!.sentences[label], batch.chunks!.sentences[chunk])
          })
        }
      }
      const known = corpus.chunks!.targets.filter((target) => target >= 0).length
      assert.ok(participants > 0.6 * known && participants <= known && unknown > 0)
      // Stage 2 has the same inputs, and stage 1 masks the same text.
      const alone = packedMaskedLmSource({ ...base, corpus, agreements: {} }).build(0, 1)
      const first = packedMaskedLmSource({ ...base, corpus, mlm }).build(0, 1)
      assert.deepEqual(Object.keys(alone.labels), ['mlm'])
      assert.deepEqual(Object.keys(first.labels), groups)
      assert.deepEqual([alone.tokenIds, alone.chunks], [first.tokenIds, first.chunks])
      assert.throws(() => packedMaskedLmSource({ ...base, corpus, agreements: { x: 'appos' } }), /relation appos/)
    })

    it('a head that the sequence cuts off is not known; chunks and sentences are numbered through', () => {
      const word = { ids: [20] }
      const corpus = {
        ...corpusOf([[[word], [word, word, word, word]]]),
        chunks: {
          relations: ['subj', 'obj'],
          ids: Int32Array.of(0, 0, 1, 1, 2),
          offsets: Uint32Array.of(0, 1, 4),
          kinds: Uint8Array.of(3, 0, 1, 2),
          // By chunk: subj, obj.
          targets: Int32Array.of(-1, -1, 2, 1, 0, -1, 1, -100),
        },
      }
      const labels = new AgreementLabels(corpus, { first: 'subj', second: 'obj' })
      labels.begin(6)
      labels.add(0, 4, 1)
      const { ids, sentences, kinds } = labels.chunks()
      assert.deepEqual([...ids], [-1, 0, 1, 2, 2, -1])
      assert.deepEqual([...sentences], [0, 1, 1])
      assert.deepEqual([...kinds!], [3, 0, 1])
      assert.deepEqual(labels.labels(), {
        first: { labels: Int32Array.of(-1, -100, 1) },
        second: { labels: Int32Array.of(-1, 2, -1) },
      })
    })

    it('of plain text get chunks from their tokens alone', () => {
      const { clsId, sepId, maskId } = tokenizer.specialTokens
      const ids = (text: string): number[] => text.split(' ').map((piece) => tokenizer.tokenToId(piece) ?? maskId)
      const first = [clsId, ...ids("the cafe ##teria . the [MASK] ' a"), sepId]
      const second = [clsId, ...ids('the cafe'), sepId]
      const chunker = new TokenChunker({ special: tokenizer.specialTokens, pieces: tokenizer.vocabulary() })
      const offsets = Int32Array.of(0, first.length, first.length + second.length)
      const chunks = chunker.chunksOf(Int32Array.from([...first, ...second]), offsets)
      checkChunks({ tokenIds: Int32Array.from([...first, ...second]), sequenceOffsets: offsets, chunks })
      assert.deepEqual([...chunks.ids.subarray(0, 6)], [-1, 0, 0, 0, 1, 2])
      assert.deepEqual([...chunks.sentences].slice(0, 3), [0, 0, 1])
      assert.equal(chunks.sentences.at(-1), 2)
      assert.deepEqual([...chunks.ids.subarray(-4)], [-1, chunks.sentences.length - 1, chunks.sentences.length - 1, -1])
      const words = new TokenChunker({ special: tokenizer.specialTokens, pieces: tokenizer.vocabulary(), unit: 'word' })
      assert.deepEqual([...words.chunksOf(Int32Array.from(second), Int32Array.of(0, 4)).ids], [-1, 0, 1, -1])
    })
  })

  describe('attachment', () => {
    it('is counted over participants and over pairs, beside two guesses', () => {
      // Two sentences of 3 chunks (the middle of the second a marker) and one of 2.
      const chunks = {
        ids: new Int32Array(0),
        sentences: Int32Array.of(4, 4, 4, 6, 6),
        kinds: Uint8Array.of(0, 1, 0, 3, 0),
      }
      const labels = Int32Array.of(1, -1, 1, -1, -100)
      const rows = [
        // 0 → 1, as it is; 1 → none; 2: 0 before 1, but none before both.
        [0, 0.8, 0.1, 0.1],
        [0.2, 0, 0.1, 0.7],
        [0.3, 0.2, 0, 0.5],
        // A marker that is said to attach; the last is not counted.
        [0, 0.9, 0.1],
        [0.9, 0, 0.1],
      ]
      const offsets = Int32Array.of(0, 4, 8, 12, 15, 18)
      const tally = new AttachmentTally()
      tally.add(chunks, labels, { offsets, probabilities: Float32Array.from(rows.flat()) })
      const found = tally.finish()!
      assert.equal(found.participants, 2)
      assert.equal(found.accuracy, 1 / 2)
      assert.deepEqual([found.precision, found.recall, found.f1], [1 / 2, 1 / 2, 1 / 2])
      // +1 is said of chunks 0 and 1, −1 of 1 and 2: each is right once.
      assert.deepEqual(found.majority, { accuracy: 1 / 2, f1: 2 / (2 + 2), distance: 1 })
      assert.deepEqual(found.nearest, { accuracy: 1 / 2, f1: 2 / (2 + 2), side: 'right' })
      assert.equal(new AttachmentTally().finish(), undefined)
    })

    it('the nearest chunk is looked for past markers, on the side that is right more often', () => {
      // Second and fourth of five are markers; the third and the fifth chunk attach past them, two places to the left.
      const chunks = {
        ids: new Int32Array(0),
        sentences: Int32Array.of(0, 0, 0, 0, 0),
        kinds: Uint8Array.of(0, 3, 1, 3, 0),
      }
      const tally = new AttachmentTally()
      const row = [0.1, 0.1, 0.1, 0.1, 0.1, 0.5]
      tally.add(chunks, Int32Array.of(-1, -1, 0, -1, 2), {
        offsets: Int32Array.of(0, 6, 12, 18, 24, 30),
        probabilities: Float32Array.from(Array(5).fill(row).flat()),
      })
      const { nearest, majority, accuracy, precision, f1 } = tally.finish()!
      // Chunks 2 and 4 have one on their left, both right; pairs: two said, two there.
      assert.deepEqual(nearest, { accuracy: 1, f1: 1, side: 'left' })
      assert.deepEqual(majority, { accuracy: 1, f1: 1, distance: -2 })
      // Of equal candidates the first is taken, which is right for chunk 2; "none" is likelier than all, so no pair is said.
      assert.deepEqual([accuracy, precision, f1], [1 / 2, 0, 0])
    })

    it('of markers alone has no guess: nothing is counted, at distance 0', () => {
      // A row of two markers, one of which attaches, and a row of a single one.
      const chunks = { ids: new Int32Array(0), sentences: Int32Array.of(0, 0, 1), kinds: Uint8Array.of(3, 3, 3) }
      const tally = new AttachmentTally()
      const probabilities = Float32Array.of(0, 0.9, 0.1, 0.2, 0, 0.8, 0, 1)
      tally.add(chunks, Int32Array.of(1, -1, -1), { offsets: Int32Array.of(0, 3, 6, 8), probabilities })
      const { participants, accuracy, majority, nearest } = tally.finish()!
      assert.deepEqual([participants, accuracy], [1, 1])
      assert.deepEqual(majority, { accuracy: 0, f1: 0, distance: 0 })
      assert.deepEqual([nearest.accuracy, nearest.f1], [0, 0])
    })
  })

  describe('recipe', () => {
    const resolved = (overlay: object) => openRecipe('dacbert', { overlay: overlay as Record<string, unknown> })

    it('is two stages inside one budget of any unit', async () => {
      const stages = stagesOf(await resolved({}))
      assert.deepEqual(
        stages.map(({ name, heads, budget: { hours, total } }) => [name, heads, Number(hours!.toFixed(6)), total]),
        [
          ['agreements', groups, 2.4, undefined],
          ['pretrain', ['mlm'], 21.6, 24],
        ],
      )
      assert.equal(stages[1].schedule.kind, 'triangle2')
      assert.deepEqual(
        stages.map((stage) => stageEnd(stage as any, { endedBy: undefined } as any).reason),
        ['the budget of 2.4 hours is spent', 'the budget of 21.6 hours (24 with the stages before) is spent'],
      )
      assert.deepEqual(
        stagesOf(await resolved({ budget: { steps: 31 } })).map(({ budget }) => budget),
        [{ steps: 3 }, { steps: 28, total: 31 }],
      )
      assert.deepEqual(
        stagesOf(await resolved({ budget: { steps: 2 }, agreements: { budgetShare: 0.9 } })).map(
          ({ budget }) => budget,
        ),
        [{ steps: 1 }, { steps: 1, total: 2 }],
      )
      assert.deepEqual(
        stagesOf(await resolved({ budget: { tokens: 1000 } })).map(({ budget }) => budget),
        [{ tokens: 100 }, { tokens: 900, total: 1000 }],
      )
      await assert.rejects(resolved({ budget: { steps: 1 } }), /budget\.steps: came 1, expected at least 2/)
    })

    it('without submodels is Crammed BERT; relations go off, gates stay, submodels learn on', async () => {
      const plain = await resolved({ agreements: null })
      const crammed = await openRecipe('cramming')
      assert.deepEqual(
        { ...plain, name: '', extends: '', preset: '', description: '' },
        { ...crammed, name: '', extends: '', preset: '', description: '' },
      )
      assert.deepEqual(modelConfigOf(plain, 100), modelConfigOf(crammed, 100))
      const changed = await resolved({
        preset: 'cpu',
        agreements: { off: ['nmod'], fixedGates: true, submodelRate: 0.1 },
      })
      const { agreements, heads } = modelConfigOf(changed, 100)
      assert.deepEqual(agreements, {
        relations: groups,
        size: 64,
        layers: 2,
        heads: 2,
        intermediateSize: 256,
        gateInit: 0.1,
        off: ['nmod'],
        fixedGates: true,
        train: true,
      })
      assert.deepEqual(heads[0], { kind: 'agreement', name: 'subj', relation: 'subj', weight: 1 })
      const [first, second] = stagesOf(changed)
      assert.equal(first.optimizer.rateFactors, undefined)
      assert.equal(second.optimizer.rateFactors!['agreements.obl.'], 0.1)
      assert.equal(second.optimizer.rateFactors!['agreements.obl.projection'], 1)
      // Where both are trained at once, and in stages of one's own, the submodels have their rate as well.
      const stage = { optimizer: { learningRate: 1e-3 }, budget: { steps: 1 } }
      const rate = { submodelRate: 0.1 }
      for (const [overlay, expected] of [
        [{ agreements: { ...rate, budgetShare: 0 } }, [0.1]],
        [{ agreements: rate, stages: [{ ...stage, heads: groups }, stage] }, [undefined, 0.1]],
      ] as const) {
        const rates = stagesOf(await resolved(overlay)).map(
          ({ optimizer }) => optimizer.rateFactors?.['agreements.obl.'],
        )
        assert.deepEqual(rates, expected)
      }
      // A relation that is off takes no time of the budget; with all of them off there is nothing before the encoder.
      assert.deepEqual(
        stagesOf(await resolved({ agreements: { off: ['nmod'] } })).map(({ name, heads }) => [name, heads]),
        [
          ['agreements', ['subj', 'obj', 'obl']],
          ['pretrain', ['mlm']],
        ],
      )
      assert.deepEqual(
        stagesOf(await resolved({ agreements: { off: groups } })).map(({ name, heads, budget }) => [
          name,
          heads,
          budget,
        ]),
        [['pretrain', ['mlm'], { hours: 24 }]],
      )
      assert.deepEqual(stagesOf(await resolved({ agreements: { off: ['obj'], budgetShare: 0 } }))[0].heads, [
        'subj',
        'nmod',
        'obl',
        'mlm',
      ])
      await assert.rejects(
        resolved({ agreements: { budgetShare: 0.2, learningRate: 1e-3 }, stages: [stage] }),
        /2 problems\n {2}agreements\.budgetShare: is of the stage that .*\n {2}agreements\.learningRate: is of the stage/,
      )
      await assert.rejects(
        resolved({ agreements: { groups: { gates: ['nsubj'] } } }),
        /agreements\.groups: names "gates", which the model keeps/,
      )
      const bacon = modelConfigOf(await resolved({ preset: 'bacon' }), 100).agreements!
      assert.deepEqual([bacon.unit, bacon.relations], ['word', ['determiner', 'attributive', 'predicate', 'subject']])
      await assert.rejects(
        resolved({ agreements: { off: ['x'], heads: 3 } }),
        /2 problems\n {2}agreements\.off: names "x"/,
      )
      await assert.rejects(
        resolved({ inputs: { kind: 'segments', order: 'shuffle' } }),
        /inputs\.kind: came "segments"/,
      )
    })

    it('forecasts half of the activations on CUDA, where a run takes bf16 by itself', async () => {
      const bytes = async (device: string, precision: string) =>
        memoryWithoutData(await resolved({ device, precision }), 32_768)
      assert.equal(await bytes('cuda', 'auto'), await bytes('cuda', 'bf16'))
      assert.equal(await bytes('auto', 'auto'), await bytes('cpu', 'fp32'))
      assert.ok((await bytes('cuda', 'auto')) < 0.6 * (await bytes('cpu', 'auto')))
    })

    it('gives the last stage what the first has left of the time', () => {
      const place = { index: 1, name: 'pretrain', step: 3, tokens: 300, elapsedSeconds: 900, draws: 3, tasks: {} }
      const run = { step: 5, tokens: 700, elapsedSeconds: 1800 }
      const hours = { hours: 0.9, total: 1 }
      // A quarter of an hour went before, three quarters are left, a third of them is spent.
      assert.ok(Math.abs(budgetProgress(hours, place, run) - 1 / 3) < 1e-12)
      assert.ok(Math.abs(secondsLeft(hours, place, run)! - 1800) < 1e-9)
      assert.equal(budgetProgress({ tokens: 900, total: 1000 }, place, run), 0.5)
      assert.equal(budgetProgress({ steps: 7, total: 8 }, place, run), 0.5)
      assert.equal(budgetProgress({ steps: 7, total: 2 }, { ...place, step: 0 }, run), 1)
      assert.throws(() => budgetUnit({ epochs: 1, total: 2 }), /budget\.total is 2/)
    })
  })

  describe('a run', () => {
    const STEPS = 10
    let corpus: string
    let vocabulary: string
    let whole: RunResult

    before(async () => {
      corpus = join(folder, 'parsed')
      mkdirSync(corpus)
      writeFileSync(join(corpus, 'train.conllu.gz'), gzipSync(`# generator = a parser 1.2\n${conllu(asIs)}`))
      vocabulary = join(folder, 'vocabulary')
      mkdirSync(vocabulary)
      await tokenizer.save(vocabulary)
      whole = await run('whole', { checkpoint: { everySteps: 4, keep: 0, keepStages: true } })
    })

    const recipe = (more: Values = {}) =>
      openRecipe('dacbert', {
        overlay: mergeValues(
          tinyValues(corpus, {
            tokenizer: vocabulary,
            encoder: { layers: 2, hiddenSize: 32, heads: 2, intermediateSize: 64, maxPositions: LENGTH },
            bigramShift: null,
            agreements: { size: 16, budgetShare: 0.4 },
            text: { maxTokensPerCharacter: null, normalize: { ascii: false } },
            inputs: { order: 'shuffle' },
            batch: { tokens: 4 * LENGTH, sequenceTokens: LENGTH, accumulation: 2 },
            budget: { steps: STEPS },
            checkpoint: { everySteps: 0, keep: 0 },
            evaluation: { everySteps: 0, documents: 1 },
            log: { everySteps: 1 },
          }),
          more,
        ),
      })
    /** Two steps of a task whose rows have a `label` and a `sentence`. */
    const tenseTuning = {
      tasks: {
        tense: {
          definition: { kind: 'classification', format: 'tsv', header: true, text: 'sentence', label: 'label' },
        },
      },
      batch: { sequences: 4, sequenceTokens: LENGTH },
      budget: { steps: 2 },
      device: 'cpu',
      threads: 1,
      prefetchWorkers: 0,
    }
    interface Watched {
      /** Stops the run behind this step, or at the end of the first stage. */
      stopAfter?: number | 'agreements'
      listen?: (events: TrainingEvents) => void
    }
    const run = async (name: string, { stopAfter, listen, ...more }: Values & Watched = {}) => {
      const controller = new AbortController()
      const events = new TrainingEvents()
        .on('step', ({ step }) => {
          if (step === stopAfter) controller.abort()
        })
        .on('stageEnd', ({ stage }) => {
          if (stage === stopAfter) controller.abort()
        })
      listen?.(events)
      const output = join(folder, name)
      const cacheDirectory = join(folder, 'cache')
      return runRecipe(await recipe(more), { output, cacheDirectory, resume: true, events, signal: controller.signal })
    }
    const weights = (checkpoint: string) => readFileSync(join(checkpoint, 'model.safetensors'))
    const tensorsOf = async (checkpoint: string) => {
      const { model } = await loadModel(checkpoint, { device: 'cpu' })
      const values = await model.readTensors('value')
      await model.dispose()
      return values
    }

    it('trains the submodels, then the encoder with them; what a stage does not reach stays', async () => {
      assert.deepEqual([whole.status, whole.state.step], ['completed', STEPS])
      assert.deepEqual(
        whole.stages.map(({ name, step }) => [name, step]),
        [
          ['agreements', 4],
          ['pretrain', 10],
        ],
      )
      const initial = await Model.create((await readModelFolder(whole.checkpoint!)).config, { device: 'cpu', seed: 1 })
      const stages = [
        await initial.readTensors('value'),
        ...(await Promise.all(whole.stages.map(({ checkpoint }) => tensorsOf(checkpoint!)))),
      ]
      await initial.dispose()
      const changed = (name: string) =>
        [0, 1].map((stage) => stages[stage][name].some((value, i) => value !== stages[stage + 1][name][i]))
      for (const relation of groups) {
        for (const part of ['words', 'bilinear', 'linear', 'layer.0.intermediate.dense.weight'])
          assert.deepEqual(changed(`agreements.${relation}.${part}`), [true, false], `${relation} ${part}`)
        assert.deepEqual(changed(`agreements.${relation}.projection`), [false, true])
      }
      assert.deepEqual(changed('agreements.gates'), [false, true])
      assert.deepEqual(changed('bert.encoder.layer.0.output.dense.weight'), [false, true])
      const { scores } = whole.stages[0]
      assert.deepEqual(Object.keys(scores), groups)
      const { subj } = scores
      assert.ok(subj.attachment!.participants > 5 && subj.attachment!.nearest.accuracy > 0.2)
      assert.equal(subj.layer, -1)
      const mlm = whole.heldOut.find(({ head }) => head === 'mlm')!
      assert.ok(Math.abs(mlm.ownChunksLoss! - mlm.loss) < 0.5 && mlm.ownChunksLoss !== mlm.loss)
      const steps = readFileSync(join(folder, 'whole/metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      const gates = steps.filter(({ type }) => type === 'step').map((event) => event.gates.subj as number)
      assert.equal(gates.length, STEPS)
      assert.ok(gates.slice(0, 4).every((gate) => Math.abs(gate - 0.1) < 1e-6) && gates[9] !== gates[3])
    })

    it('says which parser made the trees: in a note, the model card and environment.json', async () => {
      const parses = [{ generator: 'a parser 1.2', files: [join(corpus, 'train.conllu.gz')] }]
      assert.ok(whole.notes.includes(`generator of the parse: a parser 1.2 (${parses[0].files[0]})`))
      assert.match(
        readFileSync(join(whole.checkpoint!, 'README.md'), 'utf8'),
        /^Data: .*; generator of the parse: a parser 1\.2$/m,
      )
      assert.deepEqual(JSON.parse(readFileSync(join(folder, 'whole/environment.json'), 'utf8'))[0].parses, parses)
      const tidied = file(
        'tidied.conllu',
        `# generator = a\u001b[1m\tparser${conllu(asIs).slice(conllu(asIs).indexOf('\n'))}`,
      )
      const silent = file('silent.conllu', conllu(asIs))
      assert.deepEqual(await parseOrigins([silent, tidied, corpus, silent]), [
        { generator: 'not stated', files: [silent, silent] },
        { generator: 'a [1m parser', files: [tidied] },
      ])
    })

    it('names every figure of a relation, for watching and for comparing', async () => {
      const { heads } = modelConfigOf(await recipe(), 100)
      const evaluations = readFileSync(join(folder, 'whole/metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ type }) => type === 'evaluation')
      const scores: Record<string, HeadScores> = Object.assign({}, ...evaluations.map(({ scores }) => scores))
      const names = [...namedScores({ heads: scores, tasks: {} }).keys()]
      for (const name of ['subj.attachment.accuracy', 'obl.attachment.nearest.f1', 'mlm.ownChunksLoss'])
        assert.ok(names.includes(name), names.join(' '))
      for (const head of heads) {
        const told = names.flatMap((name) => (name.startsWith(`${head.name}.`) ? name.slice(head.name.length + 1) : []))
        assert.deepEqual(told.sort(), headFigures(head, true).sort())
      }
      const row = lastScores([{ name: 'whole', evaluations } as any])!.rows.find(([, head]) => head === 'subj')!
      const { accuracy, accuracyInterval, attachment } = scores.subj
      assert.equal(
        row.at(-1),
        `accuracy ${brief(accuracy)} (95 %: ${accuracyInterval!.map(brief).join(' … ')}), attached ${brief(attachment!.accuracy)} (F1 ${brief(attachment!.f1)}), nearest ${brief(attachment!.nearest.accuracy)} (F1 ${brief(attachment!.nearest.f1)}), majority ${brief(attachment!.majority.accuracy)} (F1 ${brief(attachment!.majority.f1)})`,
      )
    })

    it('forecasts each stage by its own speed', async () => {
      const timed = await recipe({ budget: { hours: 0.01 } })
      const data = await openRunData(timed, { cacheDirectory: join(folder, 'cache'), planOnly: true })
      const forecast = (speeds?: StageSpeeds) => planRun(timed, data, speeds).stages.map(({ tokens }) => tokens)
      assert.deepEqual(forecast(), [null, null])
      // 0.4 of 36 s for the submodels, 0.6 for the encoder; up to a step of two batches more.
      const [alone, encoder] = forecast({ tokensPerSecond: 1000 })
      assert.equal(alone, null)
      const near = (tokens: number | null, planned: number) =>
        assert.ok(tokens! >= planned && tokens! <= planned + 2 * 4 * LENGTH, `${tokens} tokens, ${planned} fit`)
      near(encoder, 21_600)
      const [submodels] = forecast({ tokensPerSecond: 1000, stageTokensPerSecond: { agreements: 5000 } })
      near(submodels, 72_000)
      assert.throws(
        () => forecast({ stageTokensPerSecond: { agreement: 1 } }),
        /for the stage "agreement", expected one of the recipe's stages: agreements, pretrain/,
      )
    })

    it('goes on bit for bit in the first stage, between the stages and in the second', async () => {
      for (const stopAfter of [2, 4, 7]) assert.equal((await run('stopped', { stopAfter })).state.step, stopAfter)
      const end = await run('stopped')
      assert.equal(end.status, 'completed')
      assert.ok(weights(end.checkpoint!).equals(weights(whole.checkpoint!)))
    })

    it('passes over what no parse says anything of, while it trains and where it is scored', async () => {
      const plain = file('beside.txt', `${sentences.map(({ text }) => text).join('\n')}\n`)
      const warnings: string[] = []
      const mixed = (name: string, stopAfter?: number) =>
        run(name, {
          data: { corpus: [plain, join(corpus, 'train.conllu.gz')], heldOut: plain },
          inputs: { order: 'text' },
          stopAfter,
          listen: (events) => events.on('warning', ({ message }) => void warnings.push(message)),
        })
      const end = await mixed('mixed')
      assert.equal(end.status, 'completed')
      assert.deepEqual(Object.keys(end.stages[0].scores), [])
      assert.deepEqual(
        end.heldOut.map(({ head }) => head),
        ['mlm'],
      )
      const told = warnings.map((warning) =>
        /^stage agreements: (\d+) of (\d+) batches of pretraining had no label/.exec(warning)?.slice(1).map(Number),
      )
      assert.equal(told.length, 1)
      const [[unlabelled, taken]] = told as number[][]
      // Four steps of a growing batch, 1 + 1 + 2 + 2, behind the plain text.
      assert.deepEqual([unlabelled > 3, taken - unlabelled], [true, 6])
      assert.ok(
        end.notes.some((note) => /^no sentence of the held-out text has a parse: no relation is scored/.test(note)),
      )
      assert.ok(end.notes.some((note) => /^of \d+ chunks stand in a relation: subj \d+, obj \d+/.test(note)))
      assert.equal((await mixed('mixed-cut', 2)).state.step, 2)
      const resumed = await mixed('mixed-cut')
      assert.ok(weights(resumed.checkpoint!).equals(weights(end.checkpoint!)))
    })

    it('refuses a relation that never holds, with the labels that there are', async () => {
      await assert.rejects(run('typo', { agreements: { groups: { subj: ['SBJ'], obj: ['obj'] } } }), {
        code: 'BAD_DATA',
        message:
          /no chunk stands in the relation subj \(SBJ\); the parses have the labels .*\bnsubj\b.*: give agreements\.groups/,
      })
    })

    it('says when the first stage leaves the second nothing', async () => {
      const warnings: string[] = []
      const budget = { tokens: 90 }
      const { status, state } = await run('nothing-left', {
        budget,
        listen: (events) => events.on('warning', ({ message }) => void warnings.push(message)),
      })
      assert.deepEqual([status, state.step], ['completed', 1])
      assert.equal(warnings.length, 1)
      assert.match(warnings[0], /^stage pretrain: the stages before it have spent the whole budget of 90 tokens/)
      const short = await recipe({ budget })
      const { notes } = planRun(short, await openRunData(short, { cacheDirectory: join(folder, 'cache') }))
      assert.match(notes.at(-1)!, /^stage pretrain will take no step: the stages before it take 96 tokens, of a budget/)
    })

    it('keeps to its hours when it is stopped in the first stage and between the stages', async () => {
      const times: number[] = []
      const part = (seconds: number, stopAfter?: Watched['stopAfter']) =>
        run('hours', {
          budget: { hours: seconds / 3600 },
          stopAfter,
          listen: (events) =>
            events
              .on('step', ({ elapsedSeconds }) => void times.push(elapsedSeconds))
              // The first stage takes more than its share.
              .on('evaluation', ({ stage }) => (stage === 'agreements' ? setTimeout(300) : undefined)),
        })
      // However slow the disk is: each budget is made from what was spent, which a resumed run may do.
      const first = (await part(3600, 2)).state
      assert.deepEqual([first.step, first.stage.name], [2, 'agreements'])
      const share = first.elapsedSeconds + 1.2
      const between = (await part(share / 0.4, 'agreements')).state
      assert.equal(between.stage.name, 'agreements')
      assert.ok(between.elapsedSeconds >= share + 0.3)
      const seconds = between.elapsedSeconds + 1.2
      const { status, state } = await part(seconds)
      assert.equal(status, 'completed')
      assert.ok(state.stage.name === 'pretrain' && state.stage.step >= 1)
      // The last step began within the whole time, and no other after it.
      assert.ok(state.elapsedSeconds >= seconds && times.at(-2)! < seconds, `${times.at(-2)} of ${seconds} s`)
      assert.ok(times.every((time, index) => index === 0 || time > times[index - 1]))
    })

    describe('after kill -9', () => {
      /** Starts the run as a process, goes on with it if it is there, and kills it when its log has all of `until`. */
      const started = (output: string, settings: string, until?: string[]) =>
        new Promise<NodeJS.Signals | number | null>((done) => {
          const metrics = join(output, 'metrics.jsonl')
          const args = [...COMMAND_LINE, 'train', settings, '--output', output, '--resume']
          const env = {
            ...process.env,
            XDG_CACHE_HOME: join(folder, 'xdg'),
            STRATABERT_LIBTORCH: findLibtorch().tree!.directory,
          }
          const child = spawn(process.execPath, args, { cwd: resolve(__dirname, '..'), env, stdio: 'ignore' })
          const timer = setInterval(() => {
            const told = existsSync(metrics) ? readFileSync(metrics, 'utf8') : ''
            if (until?.every((line) => told.includes(line))) child.kill('SIGKILL')
          }, 2)
          child.on('close', (code, signal) => {
            clearInterval(timer)
            done(signal ?? code)
          })
        })

      it('in the first stage, at its end and in the second it ends in the same weights', async () => {
        const settings = file('recipe.json', JSON.stringify(await recipe({ checkpoint: { everySteps: 3, keep: 0 } })))
        const output = join(folder, 'killed')
        for (const until of ['"type":"step","step":2', '"type":"stageEnd"', '"type":"step","step":7'])
          assert.equal(await started(output, settings, [until]), 'SIGKILL')
        assert.equal(await started(output, settings), 0)
        assert.ok(weights(join(output, 'checkpoints', `step-${STEPS}`)).equals(weights(whole.checkpoint!)))
      })

      it('in either stage it ends at the same time that counts, of a budget in hours', async () => {
        const seconds = 3
        const timed = await recipe({ budget: { hours: seconds / 3600 }, checkpoint: { everySteps: 5, keep: 0 } })
        const settings = file('timed.json', JSON.stringify(timed))
        const output = join(folder, 'killed-hours')
        const checkpoint = (stage: string) => [`"stage":"${stage}"`, '"type":"checkpoint"']
        assert.equal(await started(output, settings, checkpoint('agreements')), 'SIGKILL')
        assert.equal(await started(output, settings, checkpoint('pretrain')), 'SIGKILL')
        assert.equal(await started(output, settings), 0)
        const events = readFileSync(join(output, 'metrics.jsonl'), 'utf8')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
        const steps = events.filter(({ type }) => type === 'step')
        // What the log has twice was done twice: its time counts once.
        const last = new Map(steps.map((event) => [event.step, event]))
        const times = [...last.keys()].sort((a, b) => a - b).map((step) => last.get(step).elapsedSeconds)
        assert.ok(times.every((time, index) => index === 0 || time > times[index - 1]))
        assert.ok(
          times.at(-2)! < seconds && times.at(-1)! > 0.8 * seconds,
          `${times.at(-2)}, ${times.at(-1)} of ${seconds} s`,
        )
        assert.equal(events.at(-1).type, 'end')
      })
    })

    it('learns with chunks of its own, where it is asked to', async () => {
      const plain = await run('plain', { agreements: { plainShare: 1 } })
      assert.equal(plain.status, 'completed')
      const [first, other] = [await tensorsOf(whole.checkpoint!), await tensorsOf(plain.checkpoint!)]
      // The stage of the submodels is the same, the encoder's is not.
      assert.deepEqual(other['agreements.subj.words'], first['agreements.subj.words'])
      assert.notDeepEqual(other['agreements.gates'], first['agreements.gates'])
    })

    it('keeps the submodels of a checkpoint as they are, also where they had learned with the encoder', async () => {
      const taught = await run('taught', { agreements: { submodelRate: 0.1 } })
      const { agreements } = (await readModelFolder(taught.checkpoint!)).config
      assert.equal(agreements!.train, true)
      const overlay = {
        init: join(folder, 'taught'),
        data: {
          tense: file(
            'few.tsv',
            `label\tsentence\n${sentences.map(({ text, past }) => `${past}\t${text}\n`).join('')}`,
          ),
        },
        ...tenseTuning,
      }
      const tuning = await openRecipe('fine-tune', { overlay })
      const plan = planRun(tuning, await openRunData(tuning, { planOnly: true }))
      assert.deepEqual(plan.agreements!.relations, groups)
      assert.ok(plan.parameters.total > plan.parameters.encoder + plan.agreements!.parameters)
      const tuned = await runRecipe(tuning, { output: join(folder, 'tuned-of-taught') })
      assert.match(
        tuned.notes.join('\n'),
        /^agreements of .* that stay on: subj, obj, nmod, obl; their submodels stay/m,
      )
      assert.equal((await readModelFolder(tuned.checkpoint!)).config.agreements!.train, undefined)
      const [before, after] = [await tensorsOf(taught.checkpoint!), await tensorsOf(tuned.checkpoint!)]
      for (const part of ['words', 'bilinear'])
        assert.deepEqual(after[`agreements.subj.${part}`], before[`agreements.subj.${part}`])
      assert.notDeepEqual(after['agreements.subj.projection'], before['agreements.subj.projection'])
      await assert.rejects(
        openRecipe('fine-tune', { overlay: { ...overlay, agreements: { off: ['subj'] } } }),
        /agreements: came in a recipe without a head on text, .* a checkpoint keeps the agreements that it has/,
      )
    })

    it('is evaluated, asked and fine-tuned on plain text', async () => {
      const report = await evaluateCheckpoint(join(folder, 'whole'), { cacheDirectory: join(folder, 'cache') })
      assert.deepEqual(
        report.rows.map(({ head }) => head),
        [...groups, 'mlm'],
      )
      assert.ok(report.rows[0].attachment)
      const shown = await runHere(
        'agreements',
        join(folder, 'whole'),
        `${sentences[0].text} The cafeteria.`,
        '--output',
        join(folder, 'maps'),
      )
      assert.equal(shown.code, 0, shown.stderr)
      assert.match(shown.stdout, /^chunk +subj +obj +nmod +obl\n/)
      assert.match(shown.stdout, /gates: subj 0\.\d+, obj/)
      const { sentences: maps } = JSON.parse(
        readFileSync(join(folder, 'maps/agreements.json'), 'utf8'),
      ) as ShownAgreements
      assert.equal(maps.length, 2)
      for (const { chunks, relations } of maps) {
        for (const rows of Object.values(relations)) {
          assert.equal(rows.length, chunks.length)
          for (const row of rows) assert.ok(Math.abs(row.reduce((sum, value) => sum + value, 0) - 1) < 1e-5)
        }
      }
      const rows = sentences.slice(0, 12).map(({ text, past }) => `${past ? 'past' : 'now'}\t${text}`)
      const tuned = await runRecipe(
        await openRecipe('fine-tune', {
          overlay: {
            init: join(folder, 'whole'),
            data: { tense: file('tense.tsv', `label\tsentence\n${rows.join('\n')}\n`) },
            ...tenseTuning,
          },
        }),
        { output: join(folder, 'tuned') },
      )
      assert.equal(tuned.tasks.tense.dev.count, 1)
      const [before, after] = [await tensorsOf(whole.checkpoint!), await tensorsOf(tuned.checkpoint!)]
      for (const part of ['words', 'bilinear'])
        assert.deepEqual(after[`agreements.subj.${part}`], before[`agreements.subj.${part}`])
      assert.notDeepEqual(after['agreements.gates'], before['agreements.gates'])
      await using encoder = await Encoder.load(tuned.checkpoint!, { device: 'cpu' })
      const alone = (await encoder.embed([sentences[1].text])).vectors[0]
      const together = (await encoder.embed([sentences[2].text, sentences[1].text])).vectors[1]
      alone.forEach((value, i) => void assert.ok(Math.abs(value - together[i]) < 1e-5))
    })
  })
})

/** Every chunk has tokens, in one sequence; sentences ascend. */
function checkChunks({
  tokenIds,
  sequenceOffsets,
  chunks,
}: Pick<PackedBatch, 'tokenIds' | 'sequenceOffsets' | 'chunks'>): void {
  const { ids, sentences } = chunks!
  assert.equal(ids.length, tokenIds.length)
  const sequences = new Map<number, number>()
  for (let sequence = 0; sequence + 1 < sequenceOffsets.length; sequence++) {
    for (const id of ids.subarray(sequenceOffsets[sequence], sequenceOffsets[sequence + 1])) {
      if (id >= 0) assert.equal(sequences.get(id) ?? sequence, sequence)
      sequences.set(id, sequence)
    }
  }
  sequences.delete(-1)
  assert.deepEqual(
    [...sequences.keys()],
    Array.from(sentences, (_, chunk) => chunk),
  )
  sentences.forEach((sentence, chunk) => {
    assert.ok(chunk === 0 || sentence === sentences[chunk - 1] || sentence === sentences[chunk - 1] + 1)
  })
}
