// The page of one video.
import { html, Icon, Notes, Trouble, clock, day, effect, signal, t, useEffect, useMemo, useRef, useState, untracked } from './core.js'
import { archive, named } from './archive.js'
import { change, route } from './place.js'
import { results } from './asking.js'
import { Answers, hide } from './answer.js'
import { Hits } from './results.js'
import { Player, PlayerView, lastBefore } from './player.js'
import { Rows } from './rows.js'
import { Lanes } from './lanes.js'
import { Clip, ClipTools } from './clip.js'
import * as api from './api.js'

export const active = signal(null) // {player, clip, hits()} of the page on show, for the keyboard

export function VideoPage() {
  const id = route.value.id
  const [state, setState] = useState({})
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    const control = new AbortController()
    setState({})
    api.get(`/videos/${encodeURIComponent(id)}`, {}, control.signal).then(video => { named([video]); setState({ video }) }, error => { if (!control.signal.aborted) setState({ error }) })
    return () => control.abort()
  }, [id, turn])
  if (state.error) return html`<div class="page"><${Trouble} error=${state.error} retry=${() => setTurn(turn + 1)} /><p><a href="/">${t('library')}</a></p></div>`
  if (!state.video || (state.video.id !== id && !state.video.id.startsWith(id))) return html`<div class="page video" aria-busy="true"><div class="left"><div class="stage skeleton" /></div></div>`
  return html`<${Video} key=${state.video.id} video=${state.video} />`
}

const numberOf = (r, name) => { const n = parseFloat(r.params.get(name)); return Number.isFinite(n) ? n : null }

function useRows(id, kind, there) {
  const [state, setState] = useState({ rows: [], total: 0, error: null })
  useEffect(() => {
    if (!there) return
    const control = new AbortController()
    api.rows(id, kind, (rows, total) => setState({ rows, total, error: null }), control.signal).catch(error => { if (!control.signal.aborted) setState(s => ({ ...s, error })) })
    return () => control.abort()
  }, [id, kind, there])
  return state
}

function Video({ video }) {
  const r = route.value
  const player = useMemo(() => new Player(video, numberOf(r, 't') ?? 0), [video])
  const clip = useMemo(() => new Clip(player), [player])
  const speech = useRows(video.id, 'speech', video.speech > 0)
  const text = useRows(video.id, 'text', video.text > 0)
  const frames = useRows(video.id, 'frame', video.frames > 0)
  const hits = useMemo(() => (results.value?.data?.hits ?? []).filter(h => h.video === video.id).sort((a, b) => a.start - b.start), [results.value, video])
  useEffect(() => { document.title = `${video.name} - ${archive.value?.name ?? 'vidrag'}` }, [video])
  useEffect(() => { player.frames.value = frames.rows; player.speech.value = speech.rows }, [frames.rows, speech.rows])
  useEffect(() => {
    active.value = { player, clip, hits }
    return () => { if (active.value?.player === player) active.value = null }
  }, [player, clip, hits])
  // A move to another moment of the same video seeks, and so does the same link once more; a tab or a filter does not.
  const shown = useRef({ turn: r.turn, t: r.params.get('t'), rest: rest(r) })
  useEffect(() => {
    const before = shown.current, to = numberOf(r, 't')
    if (r.turn === before.turn) return
    shown.current = { turn: r.turn, t: r.params.get('t'), rest: rest(r) }
    if (to !== null && (before.t !== shown.current.t || before.rest === shown.current.rest)) player.seek(to)
  }, [r.turn])
  const { notes } = video
  return html`<div class="page video">
    <div class="left">
      <${PlayerView} player=${player} />
      <div class="about"><h1>${video.name}</h1>
        <p class="dim">${[clock(video.seconds), video.recorded && t('recordedOn', { day: day(video.recorded) }), video.media?.width && `${video.media.width} × ${video.media.height}`, video.media?.video_codec, video.indexed && t('indexedOn', { day: day(video.indexed) })].filter(Boolean).join(' · ')}</p></div>
      <${Lanes} video=${video} player=${player} speech=${speech.rows} text=${text.rows} frames=${frames.rows} hits=${hits} clip=${{ from: clip.from.value, to: clip.to.value }} />
      <${ClipTools} clip=${clip} video=${video} player=${player} />
      ${notes.length > 0 && html`<details class="card about-index" open=${video.failed.length > 0}><summary><${Icon} name="warn" />${t('notes', { n: notes.length })}</summary><${Notes} notes=${notes} /></details>`}
    </div>
    <div class="right">
      <${Answers} />
      <${Tabs} video=${video} player=${player} speech=${speech} text=${text} frames=${frames} />
    </div>
  </div>`
}

const rest = r => { const p = new URLSearchParams(r.params); p.delete('t'); p.delete('e'); return p.toString() }

function Tabs({ video, player, speech, text, frames }) {
  const r = route.value
  const tabs = [
    ['transcript', t('transcript'), video.speech], ['screen', t('onScreen'), video.text],
    ['chapters', t('chapters'), video.chapter_list.length], ['frames', t('frames'), video.frames],
  ]
  if (r.q) tabs.unshift(['hits', t('hitsTab'), results.value?.data?.hits.length ?? null])
  const first = video.speech ? 'transcript' : video.text ? 'screen' : video.frames ? 'frames' : 'transcript'
  const chosen = tabs.some(([id]) => id === r.params.get('tab')) ? r.params.get('tab') : first
  useEffect(() => { // of many tabs the chosen one is in sight
    const tab = document.getElementById(`tab-${chosen}`), list = tab.parentElement
    const own = tab.getBoundingClientRect(), around = list.getBoundingClientRect()
    list.scrollLeft += Math.min(0, own.left - around.left) + Math.max(0, own.right - around.right)
  }, [chosen])
  const choose = id => { change({ tab: id === first ? null : id }, { replace: true }) }
  const keys = event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step) return
    event.preventDefault()
    event.stopPropagation()
    const to = tabs[(tabs.findIndex(([id]) => id === chosen) + step + tabs.length) % tabs.length][0]
    choose(to)
    document.getElementById(`tab-${to}`)?.focus()
  }
  return html`<section class="panel card">
    <div class="tabs" role="tablist" aria-label=${t('inside')} onKeyDown=${keys}>${tabs.map(([id, name, n]) => html`<button type="button" role="tab" id=${`tab-${id}`} aria-selected=${id === chosen} aria-controls="tabpanel" tabindex=${id === chosen ? 0 : -1} onClick=${() => choose(id)}>${name}${n !== null && html`<span class="n">${n}</span>`}</button>`)}</div>
    <div class="tabpanel" id="tabpanel" role="tabpanel" aria-labelledby=${`tab-${chosen}`}>
      ${chosen === 'hits' && html`<div class="scroll pad" tabindex="0" role="region" aria-label=${t('hitsTab')}><${Hits} inVideo /></div>`}
      ${chosen === 'transcript' && html`<${Listed} state=${speech} player=${player} name=${t('transcript')} empty=${t('noSpeech')} there=${video.speech} />`}
      ${chosen === 'screen' && html`<${Listed} state=${text} player=${player} name=${t('onScreen')} empty=${t('noText')} there=${video.text} pictures />`}
      ${chosen === 'chapters' && html`<${Chapters} video=${video} player=${player} />`}
      ${chosen === 'frames' && html`<${FrameGrid} video=${video} frames=${frames.rows} player=${player} />`}
    </div></section>`
}

function Listed({ state, there, name, ...rest }) {
  if (state.error) return html`<${Trouble} error=${state.error} />`
  if (there && !state.rows.length) return html`<p class="empty dim">${t('loading')}</p>`
  return html`<${Rows} key=${name} rows=${state.rows} total=${state.total} name=${name} ...${rest} />`
}

function useCurrent(rows, player) {
  const [now, setNow] = useState(-1)
  useEffect(() => effect(() => { const at = lastBefore(rows, player.time.value); untracked(() => setNow(at)) }), [rows, player])
  return now
}

function Chapters({ video, player }) {
  const now = useCurrent(video.chapter_list, player)
  if (!video.chapter_list.length) return html`<p class="empty dim">${t('noChapters')}</p>`
  return html`<div class="scroll"><ol class="chapters">${video.chapter_list.map((c, i) => html`<li class=${i === now ? 'active' : ''} aria-current=${i === now ? 'time' : null}><button type="button" onClick=${() => player.seek(c.start)}>
    ${video.frames > 0 && html`<img src=${`/api/v1/videos/${video.id}/frame?t=${(c.start + 0.5).toFixed(2)}&w=160`} alt="" loading="lazy" onError=${hide} />`}
    <span class="body"><b>${c.title || t('untitled')}</b><span class="dim"><time>${clock(c.start)}</time> · ${clock(c.end - c.start)}</span><span class="dim small">${c.terms.slice(0, 6).join(', ')}</span></span></button></li>`)}</ol></div>`
}

function FrameGrid({ video, frames, player }) {
  const now = useCurrent(frames, player)
  const [n, setN] = useState(120)
  if (!frames.length) return html`<p class="empty dim">${video.frames ? t('loading') : t('noFrames')}</p>`
  return html`<div class="scroll"><ol class="frames">${frames.slice(0, n).map((f, i) => html`<li class=${i === now ? 'active' : ''}><button type="button" onClick=${() => player.seek(f.start)} aria-label=${`${clock(f.start)} ${f.text}`} aria-current=${i === now ? 'time' : null}>
    <img src=${`/api/v1/videos/${video.id}/frame?n=${i}&w=160`} alt="" loading="lazy" decoding="async" /><time>${clock(f.start)}</time><span>${f.text}</span></button></li>`)}</ol>
    ${frames.length > n && html`<p class="more"><button type="button" class="quiet" onClick=${() => setN(n + 240)}>${t('moreRows', { n: frames.length - n })}</button></p>`}</div>`
}
