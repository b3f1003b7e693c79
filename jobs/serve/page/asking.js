// The search and the answer that belong to the address, and the conversation that follows.
import { announce, batch, signal, t, untracked } from './core.js'
import { route, go, withParams } from './place.js'
import { archive } from './archive.js'
import * as api from './api.js'

export const results = signal(null) // {key, state: loading | ready | error, data, error}
export const thread = signal(null) // {key, scope, turns: [{question, state: asking | done | error, text, answer, error}]}

const KEPT = 20
const kept = new Map()
let searching = null, asking = null

const QUESTION = new RegExp(
  '[?？؟]\\s*$|^(?:who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|can|could|should|would|will|has|have|had|list|name|tell|show|explain|summari[sz]e|describe|compare|count|' +
  'wer|wen|wem|wessen|was|wann|wo|wohin|woher|welche[rsmn]?|warum|wieso|weshalb|wie|ist|sind|war|waren|hat|haben|kann|können|gibt|nenne|zeige|erkläre|beschreibe|fasse|vergleiche|zähle)\\s+\\S', 'i')

export const isQuestion = text => QUESTION.test(text.trim())

const many = (r, name) => r.params.getAll(name).filter(Boolean)
const one = (r, name) => r.params.get(name) || ''

// What the filters of an address narrow a search to, as parameters of /search.
export function filters(r = route.value) {
  return {
    kind: many(r, 'kind'), video: r.page === 'video' ? [r.id] : many(r, 'video'), from: one(r, 'from'), to: one(r, 'to'),
    language: one(r, 'language'), speaker: one(r, 'who'), since: one(r, 'since'), until: one(r, 'until'),
  }
}

// Ids of the videos that a question is about; null for all.
export function scope(r = route.value) {
  if (r.params.get('all')) return null
  const given = many(r, 'video')
  return given.length ? given : r.page === 'video' ? [r.id] : null
}

// Parameters for the page of a moment, so that its question stays.
export function carried(r = route.value) {
  if (!r.q) return {}
  const videos = many(r, 'video')
  return { q: r.q, ...(one(r, 'ask') ? { ask: '1' } : {}), ...(videos.length ? { video: videos } : scope(r) === null ? { all: '1' } : {}) }
}

export function momentUrl(video, start, end, r = route.value) {
  const own = scope(r)
  const keep = r.page === 'video' && own?.length === 1 && own[0] === r.id && r.id !== video ? { q: r.q } : carried(r)
  const number = s => (s === null || s === undefined ? null : String(Math.round(s * 100) / 100))
  return withParams({ t: number(start), e: number(end), ...keep }, { path: `/v/${encodeURIComponent(video)}`, params: new URLSearchParams() })
}

export function follow(r) {
  if (!r.q || r.page === 'runs') {
    searching?.abort()
    asking?.abort()
    batch(() => { results.value = null; thread.value = null })
    return
  }
  untracked(() => { search(r); askOnce(r) })
}

export async function search(r, again = false) {
  const given = { q: r.q, ...filters(r), top: r.page === 'video' ? 50 : 20 }
  const key = JSON.stringify(given)
  if (results.value?.key === key && !again) return
  searching?.abort()
  const before = kept.get(`s${key}`)
  if (before && !again) { results.value = before; return }
  const control = searching = new AbortController()
  results.value = { key, given, state: 'loading' }
  try {
    const data = await api.get('/search', given, control.signal)
    keep(`s${key}`, results.value = { key, given, state: 'ready', data })
    announce(t('hits', { n: data.hits.length }))
  } catch (error) {
    if (!control.signal.aborted) results.value = { key, given, state: 'error', error }
  }
}

export async function moreHits() {
  const now = results.value
  if (!now?.data?.next || now.state !== 'ready') return
  results.value = { ...now, state: 'more' }
  try {
    const page = await api.get('/search', { ...now.given, cursor: now.data.next })
    if (results.value.key !== now.key) return
    const known = new Set(now.data.hits.map(h => `${h.video} ${h.kind} ${h.start} ${h.end}`))
    const fresh = page.hits.filter(h => !known.has(`${h.video} ${h.kind} ${h.start} ${h.end}`))
    keep(`s${now.key}`, results.value = { ...now, state: 'ready', data: { ...page, hits: [...now.data.hits, ...fresh] } })
  } catch (error) {
    if (results.value.key === now.key) results.value = { ...now, state: 'ready', data: { ...now.data, notes: [error.message] } }
  }
}

function askOnce(r) {
  const key = JSON.stringify([r.q, scope(r)])
  if (!isQuestion(r.q) && !one(r, 'ask')) {
    asking?.abort()
    thread.value = null
    return
  }
  if (thread.value?.key === key) return
  asking?.abort()
  const before = kept.get(`a${key}`) ?? fromSession(key)
  thread.value = before ?? { key, scope: scope(r), turns: [] }
  if (!thread.value.turns.length) put(r.q)
}

// Asks `question` as the next turn of the conversation.
export async function put(question) {
  const { key, scope: videos, turns } = thread.value
  const done = turns.filter(turn => turn.state === 'done')
  const conversation = done.slice(-10).map(turn => ({ question: turn.answer.asked || turn.question, answer: turn.answer.answer.slice(0, 20_000) }))
  const control = asking = new AbortController()
  const index = turns.length
  const set = turn => {
    if (thread.value?.key !== key) return
    const all = thread.value.turns.slice()
    all[index] = { question, ...turn }
    thread.value = { ...thread.value, turns: all }
  }
  set({ state: 'asking', text: '' })
  announce(t('answering'))
  try {
    const answer = await api.ask({ question, videos, options: [], conversation }, text => set({ state: 'asking', text }), control.signal)
    set({ state: 'done', answer })
    if (thread.value?.key === key) keep(`a${key}`, thread.value)
    toSession()
  } catch (error) {
    if (!control.signal.aborted) set({ state: 'error', error })
    else if (index && thread.value?.key === key) thread.value = { ...thread.value, turns }
  }
}

export function again(index) {
  const { turns } = thread.value
  thread.value = { ...thread.value, turns: turns.slice(0, index) }
  put(turns[index].question)
}

export function stop() {
  const before = thread.value
  asking?.abort()
  const turns = before.turns.filter(turn => turn.state !== 'asking')
  thread.value = { ...before, turns }
}

// A first question whose conversation is dropped is asked anew.
export function forget() {
  kept.delete(`a${thread.value.key}`)
  thread.value = { ...thread.value, turns: thread.value.turns.slice(0, 1) }
  toSession()
}

function keep(key, value) {
  kept.delete(key)
  kept.set(key, value)
  for (const old of kept.keys()) if (kept.size > 40) kept.delete(old)
}

// A conversation outlives a reload, in this tab only; answers without a model are asked anew.
function toSession() {
  if (!archive.value?.model || !thread.value) return
  try {
    const { key, scope: videos, turns } = thread.value
    sessionStorage.setItem('vidrag.thread', JSON.stringify({ key, scope: videos, turns: turns.filter(turn => turn.state === 'done').slice(-KEPT) }))
  } catch { /* full, or not allowed: then it is kept in memory only */ }
}

function fromSession(key) {
  if (!archive.value?.model) return null
  try {
    const saved = JSON.parse(sessionStorage.getItem('vidrag.thread') || 'null')
    return saved?.key === key && saved.turns.length ? saved : null
  } catch { return null }
}

// What was typed, asked or searched; on a video's page of this video alone, unless `everywhere`.
export function submit(text, everywhere = false) {
  const r = route.value, q = text.trim().slice(0, 10_000)
  const clear = { t: null, e: null, ask: null, all: null, sort: null, names: null, status: null }
  if (r.page === 'video' && !everywhere) go(withParams({ ...clear, q, video: null, tab: q && !isQuestion(q) ? 'hits' : null, t: r.params.get('t') }, r))
  else if (r.page === 'library') go(withParams({ ...clear, q }, r))
  else go(withParams({ q }, { path: '/', params: new URLSearchParams() }))
}
