// What is known of the archive as a whole, and names of its videos.
import { signal } from './core.js'
import * as api from './api.js'

export const archive = signal(null)
export const archiveError = signal(null)
export const names = signal({}) // id: name

export async function load() {
  archiveError.value = null
  try {
    archive.value = await api.get('/archive')
  } catch (error) {
    archiveError.value = error
  }
}

export function named(videos) {
  const fresh = videos.filter(v => v.id && names.peek()[v.id] !== v.name)
  if (fresh.length) names.value = { ...names.peek(), ...Object.fromEntries(fresh.map(v => [v.id, v.name])) }
}

const asked = new Set()

// The name of a video; its id until that is known.
export function nameOf(id) {
  const known = names.value[id]
  if (known === undefined && !asked.has(id)) {
    asked.add(id)
    api.get(`/videos/${encodeURIComponent(id)}`).then(v => named([v]), () => {})
  }
  return known ?? id.slice(0, 8)
}
