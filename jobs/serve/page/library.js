// All videos: sorted, filtered, page by page; with a question its answer and hits.
import { html, Icon, Trouble, clock, day, number, t, useEffect, useRef, useState } from './core.js'
import { archive, named } from './archive.js'
import { change, route } from './place.js'
import { Results, More } from './results.js'
import { hide } from './answer.js'
import * as api from './api.js'

export function LibraryPage() {
  const r = route.value, about = archive.value
  useEffect(() => { document.title = r.q ? `${r.q} - ${about?.name ?? 'vidrag'}` : about?.name ?? 'vidrag' }, [r.q, about])
  if (r.q) return html`<div class="page"><h1 class="sr">${r.q}</h1><${Results} /></div>`
  return html`<div class="page library"><${Videos} /></div>`
}

const SORTS = ['name', '-name', '-recorded', 'recorded', '-indexed', 'indexed', '-length', 'length']
const STATES = ['', 'ok', 'failed', 'none']
const kept = { key: '', state: null } // so that going back shows what was there

// The list is read anew when it is shown next.
export const changed = () => { kept.key = '' }

function Videos() {
  const r = route.value
  const names = r.params.get('names') || '', sort = r.params.get('sort') || 'name', status = r.params.get('status') || ''
  const key = JSON.stringify([names, sort, status])
  const [state, setState] = useState(() => (kept.key === key && kept.state ? kept.state : { key, videos: [], total: null, next: '0' }))
  const [busy, setBusy] = useState(false)
  const control = useRef(null)
  const load = async from => {
    control.current?.abort()
    const mine = control.current = new AbortController()
    setBusy(true)
    try {
      const page = await api.get('/videos', { q: names, sort, status, cursor: from.next, limit: 60 }, mine.signal)
      named(page.videos)
      const state = { key, videos: [...from.videos, ...page.videos], total: page.total, next: page.next }
      Object.assign(kept, { key, state })
      setState(state)
      setBusy(false)
    } catch (error) {
      if (mine.signal.aborted) return
      setState({ ...from, error })
      setBusy(false)
    }
  }
  useEffect(() => {
    if (state.key === key && state.videos.length) return
    load({ key, videos: [], total: null, next: '0' })
    return () => control.current?.abort()
  }, [key])
  const timer = useRef(0)
  const look = event => {
    const text = event.target.value
    clearTimeout(timer.current)
    timer.current = setTimeout(() => change({ names: text.trim() }, { replace: true }), 200)
  }
  const about = archive.value, chosen = SORTS.includes(sort) ? sort : 'name'
  return html`
    <div class="row-head"><div><h1>${about?.name}</h1><p class="dim">${about && `${t('videos', { n: about.videos })} · ${long(about.seconds)}`}</p></div>
      <div class="listing">
        <label class="sr" for="l-names">${t('filterNames')}</label><input id="l-names" type="search" value=${names} onInput=${look} placeholder=${t('filterNames')} />
        <label class="sr" for="l-status">${t('status')}</label><select id="l-status" value=${status} onChange=${e => change({ status: e.target.value })}>${STATES.map(s => html`<option value=${s}>${t(`status-${s || 'all'}`)}</option>`)}</select>
        <label class="sr" for="l-sort">${t('sort')}</label><select id="l-sort" value=${chosen} onChange=${e => change({ sort: e.target.value === 'name' ? null : e.target.value })}>${SORTS.map(s => html`<option value=${s}>${t(`sort-${s}`)}</option>`)}</select>
      </div></div>
    ${state.error && html`<${Trouble} error=${state.error} retry=${() => load({ ...state, error: null })} />`}
    ${state.total === 0 && html`<div class="empty"><p>${about?.videos ? t('noVideos') : t('emptyArchive')}</p></div>`}
    ${state.total !== null && state.total > 0 && (names || status) && html`<p class="dim small" aria-live="polite">${t('videos', { n: state.total })}</p>`}
    <ul class=${`grid${state.key === key ? '' : ' stale'}`} aria-label=${t('library')}>
      ${state.total === null && !state.error && Array.from({ length: 12 }, (_, i) => html`<li key=${`s${i}`} class="card-video skeleton" aria-hidden="true"><span class="thumb" /><i /></li>`)}
      ${state.videos.map((v, i) => html`<${Card} key=${v.id} video=${v} eager=${i < 6} />`)}
    </ul>
    ${state.next !== null && state.videos.length > 0 && html`<${More} act=${() => !busy && load(state)} busy=${busy} label=${t('moreVideos', { n: state.total - state.videos.length })} />`}`
}

function Card({ video, eager }) {
  const about = [video.recorded && day(video.recorded), video.speech > 0 && t('nSaid', { n: video.speech }), video.text > 0 && t('nScreen', { n: video.text })].filter(Boolean).join(' · ')
  return html`<li class="card-video"><a href=${`/v/${encodeURIComponent(video.id)}`}>
    <span class="thumb">${video.frame_url ? html`<img src=${`${video.frame_url}&w=320`} alt="" width="320" height="180" loading=${eager ? 'eager' : 'lazy'} decoding="async" onError=${hide} />` : html`<${Icon} name="said" />`}
      <time>${clock(video.seconds)}</time></span>
    <span class="name">${video.name}</span>
    <span class="dim small">${about || t('indexedOn', { day: video.indexed ? day(video.indexed) : '?' })}</span>
    ${video.failed.length > 0 && html`<span class="badge bad"><${Icon} name="warn" />${t('failedStages', { stages: video.failed.join(', ') })}</span>`}
    ${!video.failed.length && !video.speech && !video.text && !video.frames && html`<span class="badge">${t('status-none')}</span>`}
  </a></li>`
}

// "3 h 20 min"
export function long(seconds) {
  const minutes = Math.round(seconds / 60)
  if (minutes < 1) return `${Math.round(seconds)} s`
  return minutes < 60 ? `${minutes} min` : `${number(Math.floor(minutes / 60))} h ${minutes % 60} min`
}
