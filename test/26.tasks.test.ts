import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { openCorpus } from '../lib/data/index.js'
import {
  type CustomTask,
  customDefinition,
  definitionOf,
  glueSubmission,
  type OpenedTask,
  type OpenTaskOptions,
  openTask,
  type ParsingSet,
  type RankingSet,
  SQUAD_RANKING,
  type TaggingSet,
  type TaskFiles,
  type TaskSet,
  UD_PARSING,
  UPOS_EWT,
  writeGlueSubmission,
  writeTaskCorpus,
} from '../lib/tasks/index.js'
import { SQUAD_11 } from '../lib/tasks/span-task.js'
import { Tokenizer } from '../lib/text/index.js'
import { refuses } from './helpers/refuses.js'
import { SHARED_DATA } from './helpers/shared-data.js'

describe('Tasks', function () {
  this.timeout(60_000)
  let folder: string
  let tokenizer: Tokenizer
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-tasks-'))
    tokenizer = await Tokenizer.load(resolve(__dirname, 'golden/tokenizer-vocab.txt'))
  })
  after(() => rmSync(folder, { recursive: true }))

  let made = 0
  function file(lines: readonly string[], ending = 'tsv'): string {
    const path = join(folder, `data-${made++}.${ending}`)
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''))
    return path
  }
  function folderOf(files: Record<string, readonly string[]>): string {
    const path = join(folder, `folder-${made++}`)
    mkdirSync(path)
    for (const [name, lines] of Object.entries(files)) {
      writeFileSync(join(path, name), lines.map((line) => `${line}\n`).join(''))
    }
    return path
  }
  const open = async (
    task: string | CustomTask,
    data: string | TaskFiles,
    options: Partial<OpenTaskOptions> = {},
  ): Promise<OpenedTask> =>
    openTask({
      definition: typeof task === 'string' ? definitionOf(task) : customDefinition('mine', task),
      data,
      tokenizer,
      seed: 1,
      ...options,
    })
  /** Class of every example in the order of the set. */
  function labelsOf(task: OpenedTask, set: TaskSet = task.evaluation.dev): number[] {
    const labels: number[] = []
    for (let index = 0; index < set.batchCount(0); index++) {
      const { labels: classes, values } = set.build(0, index).labels[task.head]
      labels.push(...(values ?? classes))
    }
    return labels
  }
  const textOf = (set: TaskSet, sequence: number): Promise<string> => {
    const { tokenIds, sequenceOffsets } = set.build(0, 0)
    const ids = tokenIds.subarray(sequenceOffsets[sequence], sequenceOffsets[sequence + 1])
    return tokenizer.decode(ids, { skipSpecialTokens: false })
  }

  describe('official layouts', () => {
    it('CoLA: no header in train and dev, a header in test', async () => {
      const data = folderOf({
        'train.tsv': ['gj04\t1\t\tthe one "is', 'gj04\t0\t*\tone the is'],
        'dev.tsv': ['cj99\t0\t*\tis the', 'cj99\t1\t\tthe "one" is', 'cj99\t0'],
        'test.tsv': ['index\tsentence', '0\tthe one', '1\tone is'],
      })
      const task = await open('cola', data, { maxBadShare: 0.5 })
      assert.deepEqual(task.labels, ['unacceptable', 'acceptable'])
      assert.equal(task.metrics[0], 'matthews')
      assert.equal(task.train!.examples, 2)
      assert.deepEqual(labelsOf(task), [0, 1])
      assert.equal(await textOf(task.evaluation.dev, 1), '[CLS] the " one " is [SEP]')
      assert.match(task.notes[0], /dev: 1 of 3 rows[\s\S]*dev\.tsv:3: 2 columns, 4 were expected/)
      assert.equal(task.prediction.test.examples, 2)
      assert.equal(task.prediction.test.labelled, false)
      assert.deepEqual(task.prediction.test.place(1), { file: join(data, 'test.tsv'), line: 3, id: '1' })
    })

    it('STS-B: with GLUE’s header, and as the benchmark itself has it', async () => {
      const glue = folderOf({
        'train.tsv': [
          'index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore',
          '0\tg\tf\t2012\t0001\tnone\tnone\tthe one\tone\t3.800',
        ],
      })
      const original = folderOf({
        'sts-train.csv': [
          'main-captions\tMSRvid\t2012test\t0001\t5.000\tthe, one\t"one',
          'main-news\theadlines\t2016\t0002\t0.500\tis\tthe\tlicence\thttp://x',
        ],
        'sts-dev.csv': ['main-captions\tMSRvid\t2012test\t0001\t2\tthe one\tone'],
      })
      assert.deepEqual(labelsOf(await open('STS-B', { dev: join(glue, 'train.tsv') })), [Math.fround(3.8)])
      const task = await open('STS-B', original)
      assert.equal(task.train!.examples, 2)
      assert.deepEqual(labelsOf(task), [2])
      assert.equal(await textOf(task.evaluation.dev, 0), '[CLS] the one [SEP] one [SEP]')
      const fifths = await open('STS-B', original, {
        definition: { ...definitionOf('STS-B'), targetDivisor: 5 } as never,
      })
      assert.deepEqual(labelsOf(fifths), [Math.fround(0.4)])
    })

    it('MNLI: gold label among the annotators’ ones, two dev sets, three test files', async () => {
      const columns =
        'index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2'
      const row = (label: string): string => `0\t1\t1n\tg\tp\tp\tp\tp\tthe premise\tone\tneutral\tentailment\t${label}`
      const test = (index: number): string => `${index}\t1\t1n\tg\tp\tp\tp\tp\tthe\tone`
      const data = folderOf({
        'train.tsv': [`${columns}\tlabel1\tlabel2\tgold_label`, row('contradiction'), row('entailment'), row('-')],
        'dev_matched.tsv': [`${columns}\tlabel1\tlabel2\tgold_label`, row('neutral'), row('contradiction')],
        'dev_mismatched.tsv': [`${columns}\tlabel1\tlabel2\tgold_label`, row('entailment')],
        'test_matched.tsv': [columns, test(0), test(1)],
        'test_mismatched.tsv': [columns, test(0)],
        'diagnostic.tsv': ['index\tsentence1\tsentence2', '0\tthe\tone'],
      })
      const task = await open('mnli', data)
      assert.deepEqual(labelsOf(task), [1, 2])
      assert.deepEqual(labelsOf(task, task.evaluation['dev-mismatched']), [0])
      assert.equal(task.train!.examples, 2)
      assert.deepEqual(task.notes, [`train: 1 rows of ${join(data, 'train.tsv')} without a label are left out`])
      assert.deepEqual(Object.keys(task.prediction), ['test', 'test-mismatched', 'test-diagnostic'])
      const rows = [
        { example: 0, id: '1', predicted: 'neutral' },
        { example: 1, id: '0', predicted: 'contradiction' },
      ]
      assert.deepEqual(glueSubmission(task, 'test', rows), {
        file: 'MNLI-m.tsv',
        text: 'index\tprediction\n0\tcontradiction\n1\tneutral\n',
      })
      assert.equal(glueSubmission(task, 'test-diagnostic', rows.slice(1)).file, 'AX.tsv')
      const reading = await open('mnli', data, { splits: ['dev-mismatched'] })
      assert.deepEqual([reading.train, Object.keys(reading.evaluation)], [undefined, ['dev-mismatched']])
    })

    const layouts: { task: string; train: string[]; labels: number[]; text: string; ending?: string }[] = [
      {
        task: 'SST-2',
        train: ['sentence\tlabel', 'the one \t1', 'is\t0'],
        labels: [1, 0],
        text: '[CLS] the one [SEP]',
      },
      {
        task: 'MRPC',
        train: ['\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String', '1\t7\t8\tthe "one\tone', '0\t7\t8\tis\tthe'],
        labels: [1, 0],
        text: '[CLS] the " one [SEP] one [SEP]',
      },
      {
        task: 'QQP',
        train: ['id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate', '5\t1\t2\tthe\tone\t0', '6\t1\t2\tis\tone\t1'],
        labels: [0, 1],
        text: '[CLS] the [SEP] one [SEP]',
      },
      {
        task: 'QNLI',
        train: ['index\tquestion\tsentence\tlabel', '0\tthe\tone\tnot_entailment', '1\tthe\tis\tentailment'],
        labels: [1, 0],
        text: '[CLS] the [SEP] one [SEP]',
      },
      {
        task: 'RTE',
        train: ['index\tsentence1\tsentence2\tlabel', '0\tthe\tone\tentailment', '1\tthe\tis\tnot_entailment'],
        labels: [0, 1],
        text: '[CLS] the [SEP] one [SEP]',
      },
      {
        task: 'WNLI',
        train: ['index\tsentence1\tsentence2\tlabel', '0\tthe\tone\t1', '1\tthe\tis\t0'],
        labels: [1, 0],
        text: '[CLS] the [SEP] one [SEP]',
      },
      {
        task: 'SNLI',
        ending: 'jsonl',
        train: [
          '{"annotator_labels": ["neutral"], "gold_label": "neutral", "pairID": "1#0", "sentence1": "the", "sentence2": "one"}',
          '{"annotator_labels": [], "gold_label": "-", "pairID": "1#1", "sentence1": "the", "sentence2": "is"}',
          '{"gold_label": "contradiction", "sentence1": "is", "sentence2": "one"}',
        ],
        labels: [1, 2],
        text: '[CLS] the [SEP] one [SEP]',
      },
      {
        task: 'SciTail',
        train: ['the "is\tone\tentails', 'the\tis\tneutral'],
        labels: [1, 0],
        text: '[CLS] the " is [SEP] one [SEP]',
      },
      {
        task: 'SciTail',
        ending: 'jsonl',
        train: [
          '{"sentence1": "the", "sentence2": "one", "gold_label": "entailment"}',
          '{"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}',
        ],
        labels: [1, 0],
        text: '[CLS] the [SEP] one [SEP]',
      },
      {
        task: 'MNLI',
        ending: 'jsonl',
        train: [
          '{"premise": "the", "hypothesis": "one", "label": 2, "idx": 0}',
          '{"premise": "a", "hypothesis": "b", "label": 0, "idx": 1}',
        ],
        labels: [2, 0],
        text: '[CLS] the [SEP] one [SEP]',
      },
    ]
    for (const { task: name, train, labels, text, ending = 'tsv' } of layouts) {
      it(`${name} (${ending})`, async () => {
        const path = file(train, ending)
        const task = await open(name, { train: path, dev: path })
        assert.deepEqual(labelsOf(task), labels)
        assert.equal(await textOf(task.evaluation.dev, 0), text)
        assert.deepEqual([...labelsOf(task, task.train)].sort(), [...labels].sort())
      })
    }

    it('MRPC as its owners publish it', async () => {
      const header = 'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String'
      const data = folderOf({
        'msr_paraphrase_train.txt': [header, '1\t7\t8\tthe\tone', '0\t7\t8\tis\tthe'],
        'msr_paraphrase_test.txt': [header, '1\t7\t8\tthe\tis'],
      })
      const task = await open('mrpc', data)
      assert.deepEqual([task.train!.examples, task.prediction.test.examples], [2, 1])
    })

    it('SciTail in SNLI’s format: JSON lines in spite of their ending', async () => {
      const data = folderOf({
        'scitail_1.0_train.txt': [
          '{"sentence1": "the", "sentence2": "one", "gold_label": "entailment"}',
          '{"sentence1": "is", "sentence2": "the", "gold_label": "neutral"}',
        ],
        'scitail_1.0_dev.txt': ['{"sentence1": "is", "sentence2": "one", "gold_label": "entailment"}'],
      })
      const task = await open('scitail', data)
      assert.deepEqual([task.train!.examples, labelsOf(task)], [2, [1]])
      assert.equal(await textOf(task.evaluation.dev, 0), '[CLS] is [SEP] one [SEP]')
    })

    it('finds numbered parts, and prefers a plain file to its gzipped copy', async () => {
      const rows = ['{"sentence": "the", "label": 1}', '{"sentence": "one", "label": 0}']
      const data = folderOf({
        'train-00000-of-00002.jsonl': rows,
        'train-00001-of-00002.jsonl': rows,
        'validation.jsonl': rows,
        'validation.jsonl.gz': ['not read'],
        'trainer.jsonl': ['not read'],
      })
      const task = await open('SST-2', data)
      assert.deepEqual([task.train!.examples, task.evaluation.dev.examples], [4, 2])
      assert.match(task.train!.place(3).file, /train-00001-of-00002/)
      assert.equal(task.train!.place(3).line, 2)
    })
  })

  describe('a user’s own data', () => {
    const reviews = ['id,review,stars', '1,"good, the one",5', '2,bad,1', '3,fine,10']

    it('takes named columns; classes come from the training rows, as numbers where they are', async () => {
      const path = file(reviews, 'csv')
      const task = await open({ text: 'review', label: 'stars' }, { train: path, dev: path })
      assert.deepEqual(task.labels, ['1', '5', '10'])
      assert.deepEqual(task.definition.labels, ['1', '5', '10'])
      assert.deepEqual(labelsOf(task), [1, 0, 2])
      assert.deepEqual(task.metrics, ['accuracy', 'f1Macro'])
    })

    it('takes numbered columns of a table without header, and class names by number', async () => {
      const path = file(['no\tthe\tone', 'yes\tone\tis'])
      const custom: CustomTask = { text: [1, 2], label: 0, labels: ['yes', 'no'], metrics: ['f1'] }
      const task = await open(custom, { train: path, dev: path })
      assert.deepEqual(labelsOf(task), [1, 0])
      assert.equal(await textOf(task.evaluation.dev, 0), '[CLS] the [SEP] one [SEP]')
      const swapped = await open({ ...custom, hypothesisFirst: true }, { train: path, dev: path })
      assert.equal(await textOf(swapped.evaluation.dev, 0), '[CLS] one [SEP] the [SEP]')
      const { segmentIds } = swapped.evaluation.dev.build(0, 0)
      assert.deepEqual([...segmentIds.subarray(0, 5)], [0, 0, 0, 1, 1])
    })

    it('parts one file by seed, the same way every time', async () => {
      const path = file(['text\tlabel', ...Array.from({ length: 50 }, (_, i) => `the\t${i % 2}`)])
      const places = async (seed: number, devShare?: number): Promise<number[][]> => {
        const task = await open({ text: 'text', label: 'label' }, path, { seed, devShare })
        return [task.train!, task.evaluation.dev].map((set) =>
          Array.from({ length: set.examples }, (_, example) => set.place(example).line),
        )
      }
      const [train, dev] = await places(1)
      assert.deepEqual([train.length, dev.length], [45, 5])
      assert.deepEqual(
        [...train, ...dev].sort((a, b) => a - b),
        Array.from({ length: 50 }, (_, i) => i + 2),
      )
      assert.deepEqual(await places(1), [train, dev])
      assert.notDeepEqual((await places(2))[1], dev)
      assert.equal((await places(1, 0.3))[1].length, 15)
      assert.equal((await places(1, 7))[1].length, 7)
    })
  })

  describe('what is wrong is told with its place', () => {
    const good = ['text\tlabel', 'the\tyes', 'one\tno']
    const custom: CustomTask = { text: 'text', label: 'label', labels: ['yes', 'no'] }

    it('an unknown label', async () => {
      const dev = file(['text\tlabel', 'the\tyes', 'one\tnone'])
      await assert.rejects(
        open(custom, { train: file(good), dev }),
        refuses('BAD_DATA', `${dev}:3`, 'task mine', '"none"', '"yes", "no"'),
      )
      // Classes that only the dev rows have are unknown as well.
      await assert.rejects(
        open({ text: 'text', label: 'label' }, { train: file(good), dev }),
        refuses('BAD_DATA', '"none"'),
      )
    })

    it('numbers from 1 beside class names, with both ways to read them', async () => {
      const labels = ['bad', 'plain', 'good']
      const columns = { text: 'text', label: 'label', labels }
      const train = file(['text\tlabel', 'the\t1', 'one\t2', 'a\t3'])
      const both = [`${train}:4`, 'label 3', '(0 = "bad" … 2 = "good")', '(1 = "bad" … 3 = "good")']
      await assert.rejects(open(columns, { train }), refuses('BAD_DATA', ...both, 'numbers from 0'))
      const far = file(['text\tlabel', 'the\t1', 'one\t2', 'a\t7'])
      await assert.rejects(open(columns, { train: far }), refuses('BAD_DATA', `${far}:4`, 'unknown label "7"'))
      const fromZero = await open(columns, { train: file(['text\tlabel', 'the\t0', 'one\t2', 'a\t1']) })
      assert.deepEqual(fromZero.labels, labels)
      // Names that are numbers are names.
      const named = open(
        { ...columns, labels: ['1', '2'] },
        { train: file(['text\tlabel', 'the\t1', 'one\t2', 'a\t3']) },
      )
      await assert.rejects(named, refuses('BAD_DATA', 'unknown label "3"; known are "1", "2"'))
    })

    it('a value out of range, or no number', async () => {
      const columns = 'sentence1\tsentence2\tscore'
      const high = file([columns, 'a\tb\t1', 'a\tb\t5.1'])
      await assert.rejects(open('STS-B', { train: high }), refuses('BAD_DATA', `${high}:3`, '5.1', '0 … 5'))
      const words = file([columns, 'a\tb\thigh'])
      await assert.rejects(open('STS-B', { train: words }), refuses('BAD_DATA', `${words}:2`, '"high" is no number'))
    })

    it('a task with one class', async () => {
      const path = file(['text\tlabel', 'the\tyes', 'one\tyes'])
      await assert.rejects(open(custom, { train: path }), refuses('BAD_DATA', path, 'all 2', '"yes"', 'two classes'))
      await assert.rejects(open({ text: 'text', label: 'label' }, { train: path }), refuses('BAD_DATA', path, '"yes"'))
      await assert.rejects(
        open({ ...custom, labels: ['yes'] }, { train: path }),
        refuses('BAD_RECIPE', 'mine', '1 class'),
      )
    })

    it('an empty set', async () => {
      const path = file(['text\tlabel'])
      await assert.rejects(
        open(custom, { train: file(good), dev: path }),
        refuses('BAD_DATA', path, 'split dev', 'no usable example'),
      )
      const nothing = file([])
      await assert.rejects(open(custom, { train: nothing }), refuses('BAD_FILE', nothing, 'empty'))
    })

    it('a pair with one sentence', async () => {
      const path = file(['a\tb\tlabel', 'the\tone\tyes', 'the\t \tno'])
      const pair: CustomTask = { text: ['a', 'b'], label: 'label' }
      await assert.rejects(open(pair, { train: path }), refuses('BAD_DATA', `${path}:3`, 'text 2 of the pair is blank'))
      const short = file(['a\tb\tlabel', 'the\tone\tyes', 'the\tno'])
      await assert.rejects(
        open(pair, { train: short }),
        refuses('BAD_DATA', `${short}:3`, '2 columns, 3 were expected'),
      )
    })

    it('a missing column, file, folder or name', async () => {
      const path = file(good)
      await assert.rejects(
        open({ text: 'review', label: 'label' }, { train: path }),
        refuses('BAD_DATA', `${path}:1`, '"review"', '"text", "label"'),
      )
      await assert.rejects(
        open(custom, { train: join(folder, 'none.tsv') }),
        refuses('NOT_FOUND', 'split train', 'none.tsv'),
      )
      await assert.rejects(
        open('MNLI', folderOf({ 'readme.md': [] })),
        refuses('NOT_FOUND', 'dev_matched', 'readme.md'),
      )
      await assert.rejects(
        open(custom, [path, path] as unknown as TaskFiles),
        refuses('BAD_ARGUMENT', 'list of 2 files', path, 'files by split'),
      )
      assert.throws(() => definitionOf('cula'), refuses('BAD_ARGUMENT', 'cula', 'CoLA'))
    })

    it('a definition that contradicts itself', () => {
      const make = (task: Partial<CustomTask>) => () =>
        customDefinition('mine', { text: 'text', label: 'label', ...task })
      assert.throws(make({ metrics: ['pearson'] }), refuses('BAD_RECIPE', 'mine', 'pearson', 'accuracy, f1'))
      assert.throws(make({ labels: ['a', 'b', 'a'] }), refuses('BAD_RECIPE', '"a" twice'))
      assert.throws(make({ labels: ['a', 'b', 'c'], metrics: ['f1'] }), refuses('BAD_RECIPE', '3 classes', 'f1Macro'))
      assert.throws(make({ kind: 'regression', range: [5, 0] }), refuses('BAD_RECIPE', '5 … 0'))
      assert.throws(make({ text: ['a', 'b', 'c'] }), refuses('BAD_RECIPE', '3 text columns'))
      assert.throws(make({ header: false }), refuses('BAD_RECIPE', '"text" has a name', 'no header'))
    })

    it('classes that nobody has named', async () => {
      const dev = file(good)
      await assert.rejects(
        open({ text: 'text', label: 'label' }, { dev }),
        refuses('BAD_DATA', `${dev}:2`, 'list them as labels'),
      )
    })
  })

  it('writes submissions with the labels and names that GLUE wants', async () => {
    const test = file(['index\tsentence', '0\tthe', '1\tone'])
    const task = await open('CoLA', { test })
    const path = await writeGlueSubmission(folder, task, 'test', [
      { example: 0, id: '0', predicted: 'acceptable' },
      { example: 1, id: '1', predicted: 'unacceptable' },
    ])
    assert.equal(path, join(folder, 'CoLA.tsv'))
    assert.equal(readFileSync(path, 'utf8'), 'index\tprediction\n0\t1\n1\t0\n')
    assert.throws(() => glueSubmission(task, 'dev', []), refuses('BAD_ARGUMENT', 'dev', 'test'))
    assert.throws(
      () => glueSubmission(task, 'test', [{ example: 0, id: '2', predicted: 'acceptable' }]),
      refuses('BAD_DATA', 'index 2', 'only 1 rows'),
    )
    assert.throws(
      () => glueSubmission(task, 'test', [{ example: 0, predicted: 'good' }]),
      refuses('BAD_DATA', '"good"'),
    )
    const pairs = await open('STS-B', { test: file(['index\tsentence1\tsentence2', '0\ta\tb', '1\ta\tb']) })
    const rows = [5.2, 3.1418].map((predicted, example) => ({ example, predicted }))
    assert.equal(glueSubmission(pairs, 'test', rows).text, 'index\tprediction\n0\t5.000\n1\t3.142\n')
  })

  it('writes each class and number of a submission as the server reads it', () => {
    const submission = (name: string, split: string, ...predicted: (string | number)[]) => {
      const task = { name, definition: definitionOf(name) } as OpenedTask
      return glueSubmission(
        task,
        split,
        predicted.map((one, example) => ({ example, predicted: one })),
      )
    }
    for (const [name, split, file, predicted, cells] of [
      ['SST-2', 'test', 'SST-2.tsv', ['negative', 'positive'], '0 1'],
      ['MRPC', 'test', 'MRPC.tsv', ['not_equivalent', 'equivalent'], '0 1'],
      ['QQP', 'test', 'QQP.tsv', ['not_duplicate', 'duplicate'], '0 1'],
      ['WNLI', 'test', 'WNLI.tsv', ['not_entailment', 'entailment'], '0 1'],
      ['QNLI', 'test', 'QNLI.tsv', ['not_entailment', 'entailment'], 'not_entailment entailment'],
      ['RTE', 'test', 'RTE.tsv', ['not_entailment', 'entailment'], 'not_entailment entailment'],
      ['MNLI', 'test-mismatched', 'MNLI-mm.tsv', ['contradiction', 'neutral'], 'contradiction neutral'],
      ['STS-B', 'test', 'STS-B.tsv', [-0.25, 5.5, 2.0006], '0.000 5.000 2.001'],
    ] as const) {
      const { file: found, text } = submission(name, split, ...predicted)
      const [, ...rows] = text.trimEnd().split('\n')
      assert.equal(found, file)
      assert.deepEqual(
        rows,
        cells.split(' ').map((cell, index) => `${index}\t${cell}`),
        name,
      )
    }
    const task = { name: 'rte', definition: definitionOf('RTE') } as OpenedTask
    const twice = [0, 1].map((example) => ({ example, id: '1', predicted: 'entailment' }))
    assert.throws(() => glueSubmission(task, 'test', twice), refuses('BAD_DATA', 'index 1', 'comes twice'))
  })

  it('turns tasks into a corpus: pairs as documents, repeated texts once, held-out rows left out', async () => {
    const row = (premise: string, hypothesis: string, label: string): string =>
      JSON.stringify({ premise, hypothesis, label })
    const nli = file([row('the one.', 'one is.', 'neutral'), row('the one.', 'is the.', 'entailment')], 'jsonl')
    const single = file(['text\tlabel', ...Array.from({ length: 20 }, (_, i) => `row number ${i}\t${i % 2}`)])
    const path = join(folder, 'corpus.jsonl')
    const mine = customDefinition('mine', { text: 'text', label: 'label' })
    const sources = [
      { definition: definitionOf('MNLI'), data: { train: nli }, seed: 1 },
      { definition: mine, data: single, seed: 1 },
    ]
    const written = await writeTaskCorpus(path, sources)
    assert.deepEqual([written.documents, written.repeatedTexts], [2 + 18, 1])
    const texts = readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).text)
    assert.deepEqual(texts.slice(0, 2), ['the one.\none is.', 'is the.'])
    const task = await openTask({ definition: mine, data: single, tokenizer, seed: 1 })
    const trained = Array.from({ length: 18 }, (_, example) => `row number ${task.train!.place(example).line - 2}`)
    assert.deepEqual(texts.slice(2), trained)
    const corpus = await openCorpus({ inputs: [path], tokenizer, cacheDirectory: join(folder, 'cache') })
    assert.equal(corpus.statistics.documents, 20)
    await writeTaskCorpus(path, sources)
    assert.equal((await openCorpus({ inputs: [path], tokenizer, cacheDirectory: join(folder, 'cache') })).reused, true)
  })

  it('takes the contexts of a span task, once each, and none that is held out', async () => {
    const paragraphs = Array.from({ length: 10 }, (_, i) => ({
      context: `The answer is number ${i}.`,
      qas: [0, 1].map((j) => ({
        id: `${i}-${j}`,
        question: 'What?',
        answers: [{ text: 'answer', answer_start: 4 }],
      })),
    }))
    const data = file([JSON.stringify({ version: '1.1', data: [{ title: 't', paragraphs }] })], 'json')
    const definition = SQUAD_11
    const path = join(folder, 'contexts.jsonl')
    const { documents } = await writeTaskCorpus(path, [{ definition, data: { train: data }, seed: 1 }])
    assert.equal(documents, 10)
    const part = await writeTaskCorpus(path, [{ definition, data, seed: 1, devShare: 3 }])
    assert.equal(part.documents, 7)
    const texts = readFileSync(path, 'utf8')
    const task = await openTask({ definition, data, tokenizer, seed: 1, devShare: 3 })
    const held = task.evaluation.dev
    assert.equal(held.examples, 6)
    for (let example = 0; example < held.examples; example++) {
      const context = held.place(example).id!.split('-')[0]
      assert.ok(!texts.includes(`number ${context}.`), `context ${context} is held out`)
    }
  })

  const documentsOf = (path: string): string[] =>
    readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).text)

  it('takes questions and candidates of a ranking, of SQuAD files the contexts', async () => {
    const path = join(folder, 'ranking.jsonl')
    const rows = [0, 1, 2, 3, 4].flatMap((i) => [`ask ${i}?\tright ${i}\t1`, `ask ${i}?\twrong ${i}\t0`])
    const table = file(['q\tc\tl', ...rows, 'alone?\tright\t1', 'odd?\tx\tmaybe'])
    const [question, candidate, label] = ['q', 'c', 'l'].map((name) => ({ names: [name] }))
    const definition = { ...SQUAD_RANKING, name: 'mine', question, candidate, label }
    const written = await writeTaskCorpus(path, [{ definition, data: { train: table }, seed: 1, maxBadShare: 0.2 }])
    assert.deepEqual(
      documentsOf(path),
      [0, 1, 2, 3, 4].map((i) => `ask ${i}?\nright ${i}\nwrong ${i}`),
    )
    assert.equal(written.notes.length, 2)
    const whole = { definition, data: table, seed: 1, devShare: 2, maxBadShare: 0.2 }
    await writeTaskCorpus(path, [whole])
    const task = await openTask({ ...whole, tokenizer })
    const { questions } = task.train as RankingSet
    assert.deepEqual(
      documentsOf(path).map((text) => text.split('\n').slice(1)),
      questions.map(({ candidates }) => candidates),
    )
    const paragraphs = [0, 1, 2, 3].map((i) => ({
      context: `The answer is number ${i}. Another sentence follows.`,
      qas: [{ id: `${i}`, question: 'What?', answers: [{ text: 'answer', answer_start: 4 }] }],
    }))
    const squad = file([JSON.stringify({ version: '1.1', data: [{ title: 't', paragraphs }] })], 'json')
    await writeTaskCorpus(path, [{ definition: SQUAD_RANKING, data: squad, seed: 3, devShare: 1 }])
    const held = (await openTask({ definition: SQUAD_RANKING, data: squad, tokenizer, seed: 3, devShare: 1 }))
      .evaluation
    const left = paragraphs.filter((_, i) => held.dev.place(0).id !== `${i}`)
    assert.deepEqual(
      documentsOf(path),
      left.map(({ context }) => context),
    )
  })

  it('takes the sentences of a tagging task: documents of CoNLL-U, lists of words', async () => {
    const path = join(folder, 'tagging.jsonl')
    const row = (id: number, form: string, misc = '_'): string =>
      [id, form, form, form === '.' ? 'PUNCT' : 'NOUN', ...'_____'.split(''), misc].join('\t')
    const sentence = (i: number, comments: string[] = []): string[] => [
      ...comments,
      row(1, `Word${i}`),
      row(2, 'ends', 'SpaceAfter=No'),
      row(3, '.'),
      '',
    ]
    const conllu = file(
      [0, 1, 2, 3, 4, 5].flatMap((i) => sentence(i, i === 1 || i === 4 ? [`# newdoc id = d${i}`] : [])),
      'conllu',
    )
    const text = (i: number): string => `Word${i} ends.`
    const written = await writeTaskCorpus(path, [{ definition: UPOS_EWT, data: { train: conllu }, seed: 1 }])
    assert.deepEqual(documentsOf(path), [text(0), [1, 2, 3].map(text).join('\n'), [4, 5].map(text).join('\n')])
    assert.equal(written.documents, 3)
    const whole = { definition: UPOS_EWT, data: conllu, seed: 2, devShare: 2 }
    await writeTaskCorpus(path, [whole])
    const { train } = await openTask({ ...whole, tokenizer })
    assert.deepEqual(
      documentsOf(path).flatMap((document) => document.split('\n')),
      (train as TaggingSet).sentences.map(({ words: [first] }) => `${first} ends.`),
    )
    // Of trees those sentences count that the task can use; what it leaves out is held out by nobody.
    const tree = (i: number): string[] => {
      const heads = i % 3 === 1 ? ['_', '1', '1'] : ['0', '1', '1']
      const deprels = ['root', 'dep', 'punct']
      return sentence(i).map((line, word) => {
        const columns = line.split('\t')
        return word < 3 ? [...columns.slice(0, 6), heads[word], deprels[word], ...columns.slice(8)].join('\t') : line
      })
    }
    const trees = file(Array.from({ length: 12 }, (_, i) => tree(i)).flat(), 'conllu')
    const parsing = { definition: UD_PARSING, data: trees, seed: 2, devShare: 3 }
    await writeTaskCorpus(path, [parsing])
    const { evaluation } = await openTask({ ...parsing, tokenizer })
    const heldOut = (evaluation.dev as ParsingSet).sentences.map(({ sentence }) => `${sentence.words[0].form} ends.`)
    const given = documentsOf(path).flatMap((document) => document.split('\n'))
    assert.deepEqual([heldOut.length, given.length], [3, 9])
    assert.deepEqual(
      given.filter((one) => heldOut.includes(one)),
      [],
    )
    const lists = file(
      [0, 1].map((i) => JSON.stringify({ tokens: ['Word', `${i}`, '.'], tags: ['NOUN', 'NUM', 'PUNCT'] })),
      'jsonl',
    )
    await writeTaskCorpus(path, [{ definition: UPOS_EWT, data: { train: lists }, seed: 1 }])
    assert.deepEqual(documentsOf(path), ['Word 0 .', 'Word 1 .'])
  })

  describe('the real files', function () {
    this.timeout(120_000)
    let real: Tokenizer
    before(async function () {
      if (!existsSync(SHARED_DATA)) this.skip()
      real = await Tokenizer.load(join(SHARED_DATA, 'bert_uncased/tokenizer.json'))
    })
    // Counts as the data's own README states them.
    const counts: [task: string, files: string | Record<string, string>, train: number | undefined, dev: number][] = [
      ['CoLA', 'glue/CoLA', 8551, 1043],
      ['SST-2', 'glue/SST-2', 67349, 872],
      ['MRPC', 'glue/MRPC', 3668, 408],
      ['STS-B', 'glue/STS-B', 5749, 1500],
      ['RTE', 'glue/RTE', 2490, 277],
      ['MNLI', { train: 'nli/mnli_train_subset10k.jsonl', dev: 'nli/mnli_dev.jsonl' }, 10000, 9815],
      ['SNLI', { dev: 'nli/snli_dev.jsonl' }, undefined, 9842],
    ]
    for (const [name, files, train, dev] of counts) {
      it(name, async () => {
        const at = (path: string): string => join(SHARED_DATA, path)
        const data =
          typeof files === 'string'
            ? at(files)
            : Object.fromEntries(Object.entries(files).map(([split, path]) => [split, at(path)]))
        const task = await open(name, data, { tokenizer: real, maxBadShare: 0 })
        assert.deepEqual([task.train?.examples, task.evaluation.dev.examples], [train, dev])
        assert.ok(!task.notes.some((note) => /left out/.test(note)), task.notes.join('\n'))
        const labels = labelsOf(task)
        if (task.kind === 'classification') assert.equal(new Set(labels).size, task.labels!.length)
        else assert.deepEqual([Math.min(...labels), Math.max(...labels)], [0, 5])
      })
    }
    it('SNLI parted into 8,000 and 1,842', async () => {
      const task = await open('SNLI', join(SHARED_DATA, 'nli/snli_dev.jsonl'), { tokenizer: real, devShare: 1842 })
      assert.deepEqual([task.train!.examples, task.evaluation.dev.examples], [8000, 1842])
    })
  })
})
