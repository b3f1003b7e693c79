// What every part of the page is made of: markup, signals, words, times.
import { Component, Fragment, h, render } from './lib-preact.js'
import htm from './lib-htm.js'
import { batch, computed, effect, signal, untracked } from './lib-signals.js'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from './lib-hooks.js'
import { texts } from './texts.js'

export const html = htm.bind(h)
export { Component, Fragment, render, batch, computed, effect, signal, untracked }
export { useEffect, useLayoutEffect, useMemo, useRef, useState }

export function stored(name, otherwise = null) {
  try { return localStorage.getItem(`vidrag.${name}`) ?? otherwise } catch { return otherwise }
}

export function store(name, value) {
  try { value === null ? localStorage.removeItem(`vidrag.${name}`) : localStorage.setItem(`vidrag.${name}`, value) } catch { /* a browser that keeps nothing */ }
}

// ---- words ----
export const lang = signal(document.documentElement.lang === 'de' ? 'de' : 'en')

export function setLang(code) {
  lang.value = document.documentElement.lang = code
  store('lang', code)
}

// The text called `key` in the language of the page; {name} stands for values; a pair is singular and plural of {n}.
export function t(key, values = {}) {
  let text = texts[lang.value][key] ?? texts.en[key] ?? key
  if (Array.isArray(text)) text = text[new Intl.PluralRules(lang.value).select(values.n) === 'one' ? 0 : 1]
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name]
    return value === undefined ? whole : typeof value === 'number' ? number(value) : value
  })
}

export const number = n => n.toLocaleString(lang.value)

// ---- theme: as the system, light or dark ----
export const theme = signal(stored('theme', 'system'))

export function setTheme(name) {
  theme.value = name
  if (name === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = name
  store('theme', name === 'system' ? null : name)
}

// ---- times ----
// MM:SS, from an hour on H:MM:SS; with `tenths` one digit more.
export function clock(seconds, tenths = false) {
  const all = Math.max(0, tenths ? Math.round(seconds * 10) / 10 : Math.floor(seconds))
  const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60
  const rest = tenths ? (all % 60).toFixed(1).padStart(4, '0') : String(Math.floor(all % 60)).padStart(2, '0')
  return (hours ? `${hours}:` : '') + `${String(minutes).padStart(2, '0')}:${rest}`
}

// Seconds of "1:02:03.5", "62.5" or "1m2s"; null for anything else.
export function seconds(text) {
  const clean = String(text).trim().replace(',', '.')
  const units = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(clean)
  if (clean && units) return (+units[1] || 0) * 3600 + (+units[2] || 0) * 60 + (+units[3] || 0)
  if (!/^\d+(:\d{1,2}){0,2}(\.\d+)?$/.test(clean)) return null
  return clean.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
}

export const short = s => String(Math.round(s * 100) / 100)

export function day(text) {
  const date = new Date(text)
  return isNaN(date) ? text : date.toLocaleDateString(lang.value, { dateStyle: 'medium' })
}

export function moment(text) {
  const date = new Date(text)
  return isNaN(date) ? text : date.toLocaleString(lang.value, { dateStyle: 'medium', timeStyle: 'short' })
}

export function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let i = 0
  while (n >= 1000 && i < units.length - 1) { n /= 1000; i++ }
  return `${n.toLocaleString(lang.value, { maximumFractionDigits: n < 10 && i ? 1 : 0 })} ${units[i]}`
}

// ---- said to screen readers, and for a moment to all ----
export const spoken = signal('')
export const toast = signal('')
let toastTimer = 0

export function announce(text) {
  spoken.value = ''
  setTimeout(() => { spoken.value = text }, 50)
}

export function notify(text) {
  announce(text)
  toast.value = text
  clearTimeout(toastTimer)
  toastTimer = setTimeout(() => { toast.value = '' }, 4000)
}

// ---- drawings ----
const PATHS = {
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4',
  filter: 'M4 7h16M7 12h10M10 17h4',
  play: 'M8 5.5v13l10.5-6.5z',
  pause: 'M8 5v14M16 5v14',
  sound: 'M4 9.5v5h3.5L12 18V6L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11',
  mute: 'M4 9.5v5h3.5L12 18V6L7.5 9.5zM16 10l5 5M21 10l-5 5',
  link: 'M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3a4 4 0 0 0 5.700 5.700l1-1',
  cut: 'M6 9a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM6 20a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM8 8l12 9M8 16l12-9',
  down: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5',
  moon: 'M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z',
  system: 'M4 5h16v11H4zM9 20h6M12 16v4',
  close: 'M6 6l12 12M18 6L6 18',
  help: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.7.3-1 .8-1 1.700M12 16.500v.1',
  said: 'M4 10v4M8 7v10M12 4v16M16 7v10M20 10v4',
  screen: 'M5 7V5h14v2M12 5v14M9 19h6',
  seen: 'M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 9.200a2.800 2.800 0 1 0 0 5.600 2.800 2.800 0 0 0 0-5.600z',
  film: 'M4 5h16v14H4zM8 5v14M16 5v14M4 9.700h4M4 14.300h4M16 9.700h4M16 14.300h4',
  warn: 'M12 4l9 16H3zM12 10v4.500M12 17.300v.1',
  back: 'M15 5l-7 7 7 7',
  next: 'M9 5l7 7-7 7',
  up: 'M5 15l7-7 7 7',
  below: 'M5 9l7 7 7-7',
  spark: 'M12 3l1.900 5.600L19.500 10.500l-5.600 1.900L12 18l-1.900-5.600L4.500 10.500l5.600-1.900zM19 16v4M17 18h4',
  send: 'M5 12h13M12 6l6 6-6 6',
  add: 'M12 5v14M5 12h14',
}

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`
}

export const KINDS = ['speech', 'text', 'frame']
export const kindName = kind => ({ speech: t('said'), text: t('screen'), frame: t('seen'), detection: t('detected') })[kind] ?? kind
export const kindIcon = kind => ({ speech: 'said', text: 'screen' })[kind] ?? 'seen'

export function Kind({ kind }) {
  return html`<span class=${`kind kind-${kind}`}><${Icon} name=${kindIcon(kind)} />${kindName(kind)}</span>`
}

// `text` with the parts that fit `pattern` marked.
export function marked(text, pattern) {
  if (!pattern) return text
  const parts = []
  let last = 0
  for (const found of text.matchAll(pattern)) {
    if (!found[0]) break
    parts.push(text.slice(last, found.index), html`<mark>${found[0]}</mark>`)
    last = found.index + found[0].length
  }
  return parts.length ? [...parts, text.slice(last)] : text
}

export const literal = text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

const DULL = new Set(('the and for are was were what where when who whom whose which why how does did has have had can could should would will with from that this there their they about into ' +
  'der die das den dem des ein eine einen einem einer und ist sind war waren wer wen wem was wann welche welcher welches warum wie wird mit von vom aus auf für sich dass gibt haben hat').split(' '))

// A pattern of the words of a query, each from its beginning; null where it has none worth marking.
export function wordsOf(query) {
  const words = (query || '').toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(w => w.length > 2 && !DULL.has(w))
  return words.length ? new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.map(literal).join('|')})[\\p{L}\\p{N}]{0,3}(?![\\p{L}\\p{N}])`, 'giu') : null
}

export function Doubts({ doubts }) {
  return doubts?.length ? html`<span class="doubt" title=${doubts.join(', ')}><${Icon} name="warn" />${t('doubtful')}<span class="sr">: ${doubts.join(', ')}</span></span>` : null
}

export function Trouble({ error, retry }) {
  return html`<div class="trouble" role="alert"><${Icon} name="warn" /><p>${error.message || String(error)}</p>
    ${retry && html`<button type="button" class="quiet" onClick=${retry}>${t('retry')}</button>`}</div>`
}

export function Notes({ notes }) {
  return notes?.length ? html`<ul class="notes">${notes.map(n => html`<li>${n}</li>`)}</ul>` : null
}
