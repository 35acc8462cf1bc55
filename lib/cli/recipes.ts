import type { Command } from 'commander'
import { stringify } from 'yaml'
import {
  alignedTable,
  findNamedRecipe,
  mergeValues,
  namedRecipes,
  openRecipe,
  overlayOfSetOptions,
} from '../recipes/index.js'
import { dataSlots, example, gather } from './arguments.js'
import { printJson, printLines } from './output.js'

export function registerRecipes(program: Command): void {
  const recipes = program
    .command('recipes')
    .description('list the named recipes, or show one fully resolved')
    .option('--json', 'print one JSON document', false)
    .action(({ json }: { json: boolean }) => {
      const list = namedRecipes.map(({ name, description, source, presets, defaultPreset }) => ({
        name,
        description,
        source,
        presets: Object.entries(presets).map(([preset, { description }]) => ({
          name: preset,
          description,
          default: preset === defaultPreset,
        })),
      }))
      if (json) return printJson(list)
      const blocks = list.map((recipe) => [
        recipe.name,
        `  ${recipe.description}`,
        `  ${recipe.source}`,
        ...alignedTable(
          [
            ['', '', ''],
            ...recipe.presets.map((preset) => [
              '  preset',
              preset.name,
              preset.description + (preset.default ? ' (default)' : ''),
            ]),
          ],
          3,
        ).slice(1),
        '',
      ])
      printLines([...blocks.flat(), 'Details: stratabert recipes show NAME'])
    })
  example(recipes, 'stratabert recipes')

  const show = recipes
    .command('show')
    .description('print a recipe with every default filled in and every layer as a number')
    .argument('<recipe>', 'a recipe name, or a .yaml, .json or .js file')
    .option('--set <key=value>', 'change keys, like encoder.layers=4 seed=2; may be repeated', gather)
    .option('--data <name=path>', 'a task, as train takes it; need not exist; may be repeated', gather)
    .option('--init <checkpoint>', 'folder whose encoder the recipe takes')
    .option('--json', 'print JSON instead of YAML', false)
    .action(async (name: string, _: object, command: Command) => {
      // `recipes` has a --json of its own, which takes the flag wherever it stands.
      const options = command.optsWithGlobals<{ set?: string[]; data?: string[]; init?: string; json: boolean }>()
      const set = overlayOfSetOptions(options.set ?? [])
      const named = findNamedRecipe(name)
      const given = mergeValues({ data: dataSlots(options.data) }, set)
      const shown = Object.keys((given.data ?? {}) as object).length === 0 ? named?.exampleData : undefined
      const overlay = mergeValues({ ...(options.init && { init: options.init }), ...(shown && { data: shown }) }, given)
      const recipe = await openRecipe(name, { overlay })
      if (options.json) return printJson(recipe)
      const slots = Object.keys(shown ?? {}).join(', ')
      const comments = [
        ...(named ? [`# ${named.description}`, `# ${named.source}`] : []),
        ...(shown ? [`# The task ${slots} stands for yours: give --data NAME=PATH.`] : []),
      ]
      printLines([...comments, stringify(JSON.parse(JSON.stringify(recipe)), { lineWidth: 120 }).trimEnd()])
    })
  example(show, 'stratabert recipes show hierarchical-pretrain --set preset=lower-mlm --json')
}
