/** Vectors of texts from a learned mix of layers. The model hands out the layers' states; summing them costs little beside them. */
import { StrataError } from '../errors.js'
import type { MixConfig, Model, ModelAnswer } from '../model/index.js'
import { shownValue } from '../shown-value.js'
import { softmax } from '../softmax.js'
import { mapInTurns } from './pause.js'

/** As the native mix has it. */
const NORM_EPSILON = 1e-12

/** The mix of a name, or the only one. Throws UNSUPPORTED when there is none, BAD_ARGUMENT when the choice is open. */
export function findMix(model: Model, name: string | undefined): MixConfig {
  const mixes = model.config.mixes ?? []
  const found =
    name === undefined ? (mixes.length === 1 ? mixes[0] : undefined) : mixes.find((mix) => mix.name === name)
  if (found) return found
  const known = mixes.map((mix) => mix.name).join(', ')
  if (!known)
    throw new StrataError('UNSUPPORTED', 'this checkpoint has no learned layer mix; give the number of a layer')
  throw new StrataError(
    'BAD_ARGUMENT',
    `${name === undefined ? 'the checkpoint has several mixes' : `no mix is named ${shownValue(name)}`}; name one of ${known}`,
  )
}

/** The layers that a mix reads. */
export function layersOf({ includeEmbeddings }: MixConfig, layers: number): Int32Array {
  const first = includeEmbeddings ? 0 : 1
  return Int32Array.from({ length: layers + 1 - first }, (_, index) => first + index)
}

/** One vector a sequence, (B, H) row-major, of the states of {@link layersOf}: R = γ Σ softmax(w)_j N(h_j) for every token, then pooled. */
export async function mixedVectors(
  model: Model,
  states: ModelAnswer,
  offsets: Int32Array,
  mix: MixConfig,
  { pooling, normalize }: { pooling: 'mean' | 'cls' | 'max'; normalize: boolean },
): Promise<Float32Array> {
  const { hiddenSize } = model.config.encoder
  const factors = await factorsOf(model, mix.name)
  const vectors = new Float32Array((offsets.length - 1) * hiddenSize)
  await mapInTurns(Array.from(offsets.subarray(1)), (end, row) => {
    const begin = offsets[row] * hiddenSize
    const sum = new Float64Array(end * hiddenSize - begin)
    states.forEach(({ values }, index) => {
      addLayer(sum, values.subarray(begin, end * hiddenSize), factors[index], hiddenSize, mix.layerNorm)
    })
    vectors.set(pooled(sum, hiddenSize, pooling, normalize), row * hiddenSize)
  })
  return vectors
}

/** What each layer counts: γ softmax(w). Read once a model: those that answer do not change. */
function factorsOf(model: Model, name: string): Promise<readonly number[]> {
  let known = factorsOfModels.get(model)
  if (!known) {
    known = new Map()
    factorsOfModels.set(model, known)
  }
  let factors = known.get(name)
  if (!factors) {
    const [weights, gamma] = [`mixes.${name}.weights`, `mixes.${name}.gamma`]
    factors = model
      .readTensors('value', [weights, gamma])
      .then((values) => softmax(values[weights]).map((share) => share * values[gamma][0]))
    // A failure is told to its own batch; the next one asks again.
    factors.catch(() => known.delete(name))
    known.set(name, factors)
  }
  return factors
}

const factorsOfModels = new WeakMap<Model, Map<string, Promise<readonly number[]>>>()

function addLayer(sum: Float64Array, state: ArrayLike<number>, factor: number, size: number, layerNorm: boolean): void {
  for (let start = 0; start < sum.length; start += size) {
    let mean = 0
    let scale = factor
    if (layerNorm) {
      for (let unit = 0; unit < size; unit++) mean += state[start + unit] / size
      let variance = 0
      for (let unit = 0; unit < size; unit++) variance += (state[start + unit] - mean) ** 2 / size
      scale = factor / Math.sqrt(variance + NORM_EPSILON)
    }
    for (let unit = 0; unit < size; unit++) sum[start + unit] += scale * (state[start + unit] - mean)
  }
}

function pooled(tokens: Float64Array, size: number, pooling: 'mean' | 'cls' | 'max', normalize: boolean): Float64Array {
  const vector = tokens.slice(0, size)
  if (pooling !== 'cls') {
    for (let place = size; place < tokens.length; place++) {
      const unit = place % size
      vector[unit] = pooling === 'max' ? Math.max(vector[unit], tokens[place]) : vector[unit] + tokens[place]
    }
  }
  let scale = pooling === 'mean' ? size / tokens.length : 1
  // As libtorch's normalize: no division by a length of 0.
  if (normalize) scale /= Math.max(scale * Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)), 1e-12)
  return vector.map((value) => value * scale)
}
