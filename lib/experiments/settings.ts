/** Joining what an experiment says at several places into the overlay of one recipe. */
import { isOtherKind, isValues, mergeValues, setAt, type Values } from '../recipes/index.js'

/**
 * `above` over `below`, both overlays of a recipe: unlike in the recipe itself a null stays, since it removes a key of what
 * the overlay is laid over. A budget is replaced whole, and a sampler, an adapter or pruning by one of another kind.
 */
export function joinOverlays(below: Values, above: Values): Values {
  const joined: Values = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const before = below[key]
    if (value === undefined) continue
    const isJoined = isValues(value) && isValues(before) && key !== 'budget' && !isOtherKind(key, before, value)
    if (isJoined) joined[key] = joinOverlays(before, value)
    else if (isValues(value) && Array.isArray(before))
      joined[key] = mergeValues({ [key]: before }, { [key]: value })[key]
    else joined[key] = value
  }
  return joined
}

/** `encoder.layers: 4` as `encoder: { layers: 4 }`. Only keys at the top may be dotted. */
export function undotted(set: Values): Values {
  return Object.entries(set).reduce((overlay, [key, value]) => {
    const own: Values = {}
    setAt(own, key.split('.'), value)
    return joinOverlays(overlay, own)
  }, {} as Values)
}
