/** Parsing tasks: a treebank as batches, what is left out, and training, evaluation and use of a parser from end to end. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { scoreDependencies, scoreTask, type TaskPrediction } from '../lib/evaluation/index.js'
import { Encoder } from '../lib/inference/index.js'
import type { Session } from '../lib/inference/loaded-parts.js'
import { type ReadSentences, readSentences } from '../lib/inference/parse.js'
import { Turns } from '../lib/inference/pause.js'
import { windowsOfWords } from '../lib/inference/word-windows.js'
import { Model } from '../lib/model/index.js'
import { evaluateCheckpoint, openRecipe, openRunData, type RunResult, runRecipe } from '../lib/recipes/index.js'
import {
  findDefinition,
  openParsingTask,
  openTask,
  type ParsingSet,
  type ParsingTaskDefinition,
  UD_PARSING,
} from '../lib/tasks/index.js'
import { annotate, commentValue, findCycle, parseConllu, splitWords } from '../lib/text/index.js'
import type { TrainingEvent } from '../lib/training/index.js'
import { softwareVersions, TrainingEvents } from '../lib/training/index.js'
import { runHere } from './helpers/cli-here.js'
import { runCli } from './helpers/cli-process.js'
import { inShortestTurns } from './helpers/event-loop-turns.js'
import { keepsScores } from './helpers/kept-scores.js'
import { refuses } from './helpers/refuses.js'
import {
  TREEBANK_WORDS,
  treebankSentences,
  treebankText,
  treebankTokenizer,
  writeTreebankEncoder,
} from './helpers/toy-treebank.js'

const row = (id: number, form: string, upos: string, head: number | '_', deprel: string): string =>
  `${id}\t${form}\t_\t${upos}\t_\t_\t${head}\t${deprel}\t_\t_\n`
const BIRDS = `${row(1, 'birds', 'NOUN', 2, 'nsubj')}${row(2, 'sees', 'VERB', 0, 'root')}${row(3, '\u200d', 'X', 2, 'dep:odd')}\n`

describe('parsing tasks', function () {
  this.timeout(60_000)
  const tokenizer = treebankTokenizer()
  let folder: string
  let treebank: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-parsing-'))
    treebank = join(folder, 'treebank')
    writeFileSync(join(folder, 'odd.conllu'), treebankText(treebankSentences(1, 3)) + BIRDS)
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  const open = (data: Record<string, string>, more: object = {}) =>
    openParsingTask({ definition: UD_PARSING, name: 'p', data, tokenizer, seed: 1, ...more })

  it('is known by name', () => {
    assert.equal(findDefinition('parsing'), UD_PARSING)
  })

  it('batches hold words, heads, relations and parts of speech at the first pieces', async () => {
    const task = await open({ train: join(folder, 'odd.conllu'), dev: join(folder, 'odd.conllu') })
    assert.deepEqual(task.labels, ['amod', 'dep:odd', 'det', 'nsubj', 'obj', 'punct', 'root'])
    const { upos } = task.definition as ParsingTaskDefinition
    assert.deepEqual(upos, ['ADJ', 'DET', 'NOUN', 'PUNCT', 'VERB', 'X'])
    const dev = task.evaluation.dev as ParsingSet
    assert.deepEqual([dev.batchCount(0), dev.examples, dev.truncated], [1, 4, 0])
    const { tokenIds, sequenceOffsets, labels } = dev.build(0, 0)
    const { positions, heads, labels: relations, tags } = labels.p
    const [begin, end] = sequenceOffsets.subarray(3, 5)
    const { clsId, sepId, unkId } = tokenizer.specialTokens
    // "birds" has pieces b ##i …: an unknown one; a word without any piece is [UNK] as well.
    assert.deepEqual([tokenIds[begin], tokenIds[end - 1], tokenIds[end - 2]], [clsId, sepId, unkId])
    const own = [...positions!.keys()].filter((i) => positions![i] > begin)
    assert.deepEqual(
      own.map((i) => heads![i]),
      [2, 0, 2],
    )
    assert.deepEqual(
      own.map((i) => task.labels![relations[i]]),
      ['nsubj', 'root', 'dep:odd'],
    )
    assert.deepEqual(
      own.map((i) => (upos as string[])[tags![i]]),
      ['NOUN', 'VERB', 'X'],
    )
    assert.equal(positions![own[0]], begin + 1)
    assert.equal(tokenIds[positions![own[2]]], unkId)
  })

  it('batches have about as many words as asked for, and pass after pass another order', async () => {
    writeFileSync(join(folder, 'many.conllu'), treebankText(treebankSentences(2, 60)))
    const definition = { ...UD_PARSING, batchWords: 50 }
    const { train } = await open({ train: join(folder, 'many.conllu') }, { definition })
    const first: number[][] = []
    for (const pass of [0, 1]) {
      const seen: number[] = []
      for (let index = 0; index < train!.batchCount(pass); index++) {
        const { labels } = train!.build(pass, index)
        assert.ok(labels.p.labels.length <= 50, `${labels.p.labels.length}`)
        seen.push(...train!.exampleNumbers(pass, index))
      }
      first.push(seen.slice(0, 5))
      assert.deepEqual(
        [...seen].sort((a, b) => a - b),
        Array.from({ length: 60 }, (_, i) => i),
      )
    }
    assert.notDeepEqual(first[0], first[1])
  })

  it('words beyond the longest sequence, and those whose head is there, have no label', async () => {
    const path = join(folder, 'long.conllu')
    const text = [
      row(1, 'the', 'DET', 2, 'det'),
      row(2, 'dog', 'NOUN', 5, 'nsubj'),
      row(3, 'here', 'ADV', 2, 'advmod'),
      row(4, 'often', 'ADV', 5, 'advmod'),
      row(5, 'sees', 'VERB', 0, 'root'),
    ].join('')
    writeFileSync(path, `${text}\n`)
    const task = await open({ train: path, dev: path }, { sequenceTokens: 5 })
    const { labels, sequenceOffsets } = task.train!.build(0, 0)
    assert.deepEqual([...sequenceOffsets], [0, 5])
    assert.deepEqual([...labels.p.labels], [task.labels!.indexOf('det'), -100, task.labels!.indexOf('advmod')])
    assert.match(task.notes.join('\n'), /2 of 5 words lie beyond 5 tokens/)
    assert.equal(task.train!.truncated, 1)
  })

  it('leaves out what has no whole tree, tells unknown relations, and refuses what cannot be', async () => {
    const path = join(folder, 'partial.conllu')
    const good = treebankText(treebankSentences(3, 2))
    const partial = `${row(1, 'dog', 'NOUN', '_', '_')}\n`
    const twoRoots = `${row(1, 'dog', 'NOUN', 0, 'root')}${row(2, 'cat', 'NOUN', 0, 'root')}\n`
    writeFileSync(path, good + partial + twoRoots)
    const files = { train: path, dev: join(folder, 'odd.conllu'), test: path }
    const task = await open(files)
    assert.deepEqual([task.train!.examples, task.evaluation.dev.examples], [2, 4])
    assert.deepEqual([task.prediction.test.examples, task.prediction.test.labelled], [4, false])
    assert.match(task.notes.join('\n'), /train: 2 sentences without one whole tree are left out/)
    assert.match(task.notes.join('\n'), /dev: 1 of \d+ words have a relation that the training set lacks/)
    await assert.rejects(open({ dev: path }), refuses('BAD_DATA', 'relations are not known'))
    writeFileSync(join(folder, 'none.conllu'), partial)
    await assert.rejects(
      open({ train: path, dev: join(folder, 'none.conllu') }),
      refuses('BAD_DATA', 'dev', 'no sentence'),
    )
    writeFileSync(join(folder, 'other.conllu'), `${row(1, 'go', 'VERB', 0, 'ROOT')}${row(2, 'it', 'PRON', 1, 'OBJ')}\n`)
    await assert.rejects(
      open({ train: path, dev: join(folder, 'other.conllu') }),
      refuses('BAD_DATA', 'split dev has no relation that was learned: came ROOT, OBJ, expected some of'),
    )
    const definition = { ...UD_PARSING, metrics: ['accuracy' as const] }
    await assert.rejects(open({ train: path }, { definition }), refuses('BAD_RECIPE', 'accuracy', 'LAS'))
  })

  it('a file has more sentences than a call takes arguments', async () => {
    const path = join(folder, 'sentences.conllu')
    writeFileSync(path, BIRDS + `${row(1, 'go', '_', 0, 'root')}\n`.repeat(130_000))
    const { train } = await open({ train: path }, { fraction: 0.001 })
    assert.equal(train!.examples, 130)
  })

  it('a treebank without parts of speech has no tagger and no UPOS; upos: false is the same', async () => {
    const path = join(folder, 'plain.conllu')
    writeFileSync(path, treebankText(treebankSentences(4, 6)).replaceAll(/(\t_\t)[A-Z]+(\t_\t)/g, '$1_$2'))
    for (const [file, upos] of [
      [path, undefined],
      [join(folder, 'odd.conllu'), false],
    ] as const) {
      const task = await open({ train: file, dev: file }, { definition: { ...UD_PARSING, upos } })
      assert.deepEqual(task.metrics, ['LAS', 'UAS', 'CLAS'])
      assert.equal(task.train!.build(0, 0).labels.p.tags, undefined)
    }
  })

  it('lays whole words into sequences; one that is longer than a sequence is cut', async () => {
    const words = [[7], [8, 9], [10, 11, 12, 13, 14, 15], [16]].map((pieces) => ({ pieces: Int32Array.from(pieces) }))
    const { clsId, sepId } = tokenizer.specialTokens
    const windows = await windowsOfWords(words, 3, 6, tokenizer, new Turns())
    assert.deepEqual(
      windows.map(({ tokenIds, places, words: own }) => [[...tokenIds], places, own.length]),
      [
        [[clsId, 7, 8, 9, sepId], [1, 2], 2],
        [[clsId, 10, 11, 12, 13, sepId], [1], 1],
        [[clsId, 16, sepId], [1], 1],
      ],
    )
    assert.ok(windows.every(({ text, segmentIds, tokenIds }) => text === 3 && segmentIds.length === tokenIds.length))
  })

  it('splits a long text into words in turns with the event loop, as all at once', async () => {
    const session = { parts: { tokenizer }, announce: async () => {} } as unknown as Session
    const text = 'the old dog sees a cat. '.repeat(400)
    let read: ReadSentences | undefined
    const turns = await inShortestTurns(async () => {
      read = await readSentences(session, [text], 100_000)
    })
    assert.deepEqual(read!.words, [splitWords(text).map(({ form }) => form)])
    assert.ok(turns >= 10, `2,800 words in ${turns} turns`)
  })

  describe('a parser from end to end', () => {
    let result: RunResult
    const losses: number[] = []
    before(async () => {
      const { mkdirSync } = await import('node:fs')
      mkdirSync(treebank)
      writeFileSync(join(treebank, 'train.conllu'), treebankText(treebankSentences(5, 300)))
      writeFileSync(join(treebank, 'dev.conllu'), treebankText(treebankSentences(6, 40)))
      await writeTreebankEncoder(join(folder, 'init'))
      const recipe = await openRecipe('parser', {
        overlay: {
          init: join(folder, 'init'),
          data: { parsing: treebank },
          device: 'cpu',
          precision: 'fp32',
          threads: 1,
          prefetchWorkers: 0,
          tasks: { parsing: { definition: { batchWords: 200 }, head: { arcSize: 24, labelSize: 16, dropout: 0 } } },
          batch: { sequenceTokens: 48 },
          encoder: { hiddenDropout: 0, attentionDropout: 0 },
          optimizer: { learningRate: 5e-3, rateFactors: null },
          budget: { epochs: 8 },
          evaluation: { everyEpochs: 4 },
          log: { everySteps: 1 },
        },
      })
      const log = (event: TrainingEvent): void => {
        if (event.type === 'step') losses.push(event.losses.parsing.loss)
      }
      const events = new TrainingEvents().addLogger({ log })
      result = await runRecipe(recipe, { output: join(folder, 'run'), events })
    })

    it('the loss falls to less than a tenth, LAS on held-out sentences is above 90', async () => {
      assert.ok(losses.length >= 80, `${losses.length}`)
      assert.ok(losses.at(-1)! < losses[0] / 10, `${losses[0]} ${losses.at(-1)}`)
      const seen: TaskPrediction[] = []
      const { tasks } = await evaluateCheckpoint(join(folder, 'run'), {
        onTaskPrediction: (prediction) => void seen.push(prediction),
      })
      assert.deepEqual(Object.keys(tasks[0].metrics), ['LAS', 'UAS', 'UPOS', 'CLAS'])
      const { LAS, UAS } = tasks[0].metrics
      keepsScores(seen, { LAS, UAS })
      for (const [name, value] of Object.entries(tasks[0].metrics)) assert.ok(value > 0.9, `${name} ${value}`)
      const { stdout } = await runCli(['evaluate', join(folder, 'run')])
      assert.match(stdout, /parsing +dev +\d+ +[\d.]+ +LAS [\d.]+ {2}UAS [\d.]+ {2}UPOS [\d.]+ {2}CLAS [\d.]+/)
    })

    it('sequences are no longer than the encoder has positions, unless they are asked for', async () => {
      const overlay = { init: join(folder, 'init'), data: { parsing: treebank } }
      const recipe = await openRecipe('parser', { overlay })
      assert.equal(recipe.batch.sequenceTokens, 64)
      const { notes } = await openRunData(recipe)
      assert.match(notes[0], /^batch\.sequenceTokens is 64, the recipe's own 512: the checkpoint/)
      assert.ok(!result.notes.some((note) => note.includes('sequenceTokens')), 'shorter ones were asked for')
      await assert.rejects(
        openRecipe('parser', { overlay: { ...overlay, batch: { sequenceTokens: 65 } } }),
        refuses('BAD_RECIPE', 'batch.sequenceTokens: came 65', 'at most encoder.maxPositions = 64'),
      )
    })

    it('the checkpoint keeps names, sizes and mix', () => {
      const strata = JSON.parse(readFileSync(join(result.checkpoint!, 'stratabert.json'), 'utf8'))
      const [head] = strata.heads
      assert.deepEqual([head.kind, head.classes, head.tags, head.arcSize, head.labelSize], ['parser', 7, 6, 24, 16])
      assert.deepEqual(head.tap, { mix: 'layers' })
      assert.deepEqual(strata.tasks[0].upos, ['ADJ', 'ADV', 'DET', 'NOUN', 'PUNCT', 'VERB'])
      assert.equal(strata.mixes[0].includeEmbeddings, true)
    })

    it('predictions name head and relation of every word, also where the words have no tree', async () => {
      const path = join(folder, 'words.conllu')
      writeFileSync(path, treebankText(treebankSentences(7, 2)).replaceAll(/\t\d+\t[a-z]+\t_\t_\n/g, '\t_\t_\t_\t_\n'))
      const seen: TaskPrediction[] = []
      await evaluateCheckpoint(join(folder, 'run'), {
        data: { parsing: { test: path } },
        onTaskPrediction: (prediction) => void seen.push(prediction),
      })
      assert.equal(seen.length, 2)
      for (const { predicted, expected } of seen) {
        assert.equal(expected, undefined)
        assert.equal((predicted as string[]).filter((word) => word === '0:root').length, 1)
        for (const word of predicted as string[]) assert.match(word, /^\d+:[a-z]+$/)
      }
    })

    it('Encoder.parse: the trees of lists of words and of text; a long sentence is one tree', async () => {
      await using encoder = await Encoder.load(join(folder, 'run'), { device: 'cpu', threads: 1 })
      const gold = treebankSentences(8, 30)
      const parsed = await encoder.parse(gold.map(({ words }) => words.map(({ form }) => form)))
      const system = gold.map((sentence, index) => {
        const { words, heads, relations, tags } = parsed[index]
        assert.deepEqual(
          words,
          sentence.words.map(({ form }) => form),
        )
        return annotate(sentence, { heads, deprels: relations, upos: tags })
      })
      const { LAS, UPOS } = scoreDependencies(gold, system)
      assert.ok(LAS.f1 > 0.9 && UPOS.f1 > 0.9, `${LAS.f1} ${UPOS.f1}`)
      const [text, list] = await encoder.parse([
        'the old dog sees a cat.',
        ['the', 'old', 'dog', 'sees', 'a', 'cat', '.'],
      ])
      assert.deepEqual(text, list)
      const long = Array.from({ length: 200 }, (_, index) => TREEBANK_WORDS[index % TREEBANK_WORDS.length])
      const [[whole], [none]] = [await encoder.parse([long]), await encoder.parse([[]])]
      assert.deepEqual([whole.heads.length, [...whole.heads].filter((head) => head === 0).length], [200, 1])
      assert.equal(findCycle(whole.heads), undefined)
      assert.equal(none.heads.length, 0)
      await assert.rejects(encoder.parse([7] as never), refuses('BAD_ARGUMENT', 'sentences[0]', 'number'))
    })

    it('Encoder.parse: what the queue refuses is not split into words first', async () => {
      await using encoder = await Encoder.load(join(folder, 'run'), { device: 'cpu', threads: 1, maxQueueTokens: 50 })
      const text = 'The old dog sees a cat. '.repeat(8000)
      const begun = performance.now()
      splitWords(text)
      const splitting = performance.now() - begun
      const refusing: number[] = []
      for (let attempt = 0; attempt < 3; attempt++) {
        const accepted = encoder.parse('The old dog sees a cat.')
        const called = performance.now()
        await assert.rejects(encoder.parse(text), refuses('OVERLOADED'))
        refusing.push(performance.now() - called)
        await accepted
      }
      assert.ok(Math.min(...refusing) < splitting / 3, `${refusing} ms to refuse, ${splitting} ms to split`)
      await assert.rejects(
        encoder.parse('a cat', { maxTokens: 2 }),
        refuses('BAD_ARGUMENT', 'maxTokens came as 2', '≥ 3'),
      )
    })

    it('stratabert parse: text from a pipe with its documents and paragraphs', async () => {
      const input =
        'The old dog sees a cat. The cat often sees a dog.\nA bird likes the man.\n\nEvery man finds a river.\n'
      const { stdout, stderr, code } = await runCli(['parse', join(folder, 'run'), '--input', '-'], { input })
      assert.equal(code, 0, stderr)
      const sentences = parseConllu(stdout, { source: 'stdout', strict: true })
      assert.deepEqual(
        sentences.map(({ newDocument, newParagraph }) => [newDocument?.id, newParagraph?.id]),
        [
          ['1', '1.1'],
          [undefined, undefined],
          [undefined, '1.2'],
          ['2', '2.1'],
        ],
      )
      assert.match(stderr, /4 sentences, 26 words/)
      const generator = `stratabert ${softwareVersions().stratabert}, run`
      assert.deepEqual(
        sentences.map((sentence) => commentValue(sentence, 'generator')),
        [generator, undefined, undefined, undefined],
      )
      const [first] = sentences
      assert.deepEqual(
        first.words.map(({ upos, head, deprel }) => `${upos} ${head} ${deprel}`),
        ['DET 3 det', 'ADJ 3 amod', 'NOUN 4 nsubj', 'VERB 0 root', 'DET 6 det', 'NOUN 4 obj', 'PUNCT 4 punct'],
      )
    })

    it('stratabert parse: blocks that are computed side by side come in their order, each as by itself', async () => {
      const sentences = treebankSentences(9, 2500)
      const [input, output] = [join(folder, 'blocks.txt'), join(folder, 'blocks.conllu')]
      const texts = sentences.map(({ words }) => words.map(({ form }) => form))
      writeFileSync(input, texts.map((forms) => `${forms.join(' ')}\n`).join(''))
      const { stdout, code, stderr } = await runHere(
        'parse',
        join(folder, 'run'),
        '--input',
        input,
        '--output',
        output,
        '--json',
      )
      assert.equal(code, 0, stderr)
      const words = texts.flat().length
      // More than two blocks of 8,192 words.
      assert.ok(words > 17_000, `${words}`)
      const told = JSON.parse(stdout)
      assert.deepEqual([told.sentences, told.words], [2500, words])
      assert.ok(Math.abs(told.wordsPerSecond * told.seconds - words) < 1e-6 * words)
      const written = parseConllu(readFileSync(output, 'utf8'), { strict: true })
      assert.deepEqual(
        written.map((sentence) => sentence.words.map(({ form }) => form)),
        texts,
      )
      await using encoder = await Encoder.load(join(folder, 'run'), { device: 'cpu', threads: 1 })
      for (let index = 0; index < texts.length; index += 97) {
        const [{ heads, relations, tags }] = await encoder.parse([texts[index]])
        assert.deepEqual(
          written[index].words.map(({ head, deprel, upos }) => [Number(head), deprel, upos]),
          texts[index].map((_, word) => [heads[word], relations[word], tags![word]]),
        )
      }
    })

    it('stratabert parse: of CoNLL-U all but its columns and the generator stays, byte for byte', async () => {
      const rows = [
        '# newdoc id = d',
        '# generator = another parser',
        '# sent_id = s',
        '1-2\tthedog\t_\t_\t_\t_\t_\t_\t_\tA=b',
        '1\tthe\tTHE\t_\tDT\tDefinite=Def\t_\t_\t_\t_',
        '2\tdog\tdog\t_\tNN\tNumber=Sing\t_\t_\t_\tSpaceAfter=No|X=y',
        '2.1\tempty\t_\t_\t_\t_\t_\t_\t2:dep\t_',
        '3\tsees\tsee\t_\tVBZ\t_\t_\t_\t_\t_',
      ]
      const path = join(folder, 'rich.conllu')
      const output = join(folder, 'parsed.conllu.gz')
      writeFileSync(path, `${rows.join('\n')}\n\n`)
      const asked = ['parse', join(folder, 'run'), '--input', path, '--output', output, '--json']
      const { stdout, code, stderr } = await runCli(asked)
      assert.equal(code, 0, stderr)
      assert.deepEqual(Object.keys(JSON.parse(stdout)), ['sentences', 'words', 'seconds', 'wordsPerSecond'])
      const written = gunzipSync(readFileSync(output)).toString().split('\n')
      assert.equal(written[1], `# generator = stratabert ${softwareVersions().stratabert}, run`)
      const blank = (line: string): string => {
        if (line.startsWith('# generator')) return '# generator = another parser'
        const cells = line.split('\t')
        if (!/^\d+$/.test(cells[0])) return line
        assert.match(cells[6], /^[0-3]$/)
        return cells.map((cell, column) => ([3, 6, 7].includes(column) ? '_' : cell)).join('\t')
      }
      assert.deepEqual(written.map(blank), [...rows, '', ''])
      const other = await runCli(['parse', join(folder, 'init'), '--input', path])
      assert.equal(other.code, 2)
      assert.match(other.stderr, /error\[UNSUPPORTED\].*parser/)
    })
  })

  it('a head of other sizes than the task is refused when it is scored', async () => {
    const path = join(folder, 'odd.conllu')
    const task = await openTask({
      definition: UD_PARSING,
      name: 'p',
      data: { train: path, dev: path },
      tokenizer,
      seed: 1,
    })
    const head = {
      name: 'p',
      kind: 'parser' as const,
      tap: { layer: 1 },
      weight: 1,
      dropout: 0,
      arcSize: 4,
      labelSize: 4,
    }
    const encoder = (await import('../lib/model/index.js')).encoderConfig({
      vocabSize: tokenizer.vocabSize,
      layers: 1,
      hiddenSize: 8,
      heads: 1,
      maxPositions: 64,
    })
    await using model = await Model.create({ encoder, heads: [{ ...head, classes: 3, tags: 2 }] }, { device: 'cpu' })
    await assert.rejects(scoreTask(model, task, 'dev'), refuses('BAD_ARGUMENT', '3 classes'))
  })
})
