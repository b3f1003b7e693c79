// Runs of indexing: their progress, what failed and why; and indexing itself, where it is allowed.
import { html, Icon, Trouble, bytes, moment, number, t, useEffect, useRef, useState, notify } from './core.js'
import { archive, load } from './archive.js'
import { go, route } from './place.js'
import { changed, long } from './library.js'
import * as api from './api.js'

export function RunsPage() {
  const id = route.value.id
  useEffect(() => { document.title = `${t('runs')} - ${archive.value?.name ?? 'vidrag'}` }, [id])
  return html`<div class="page runs">${id ? html`<${Run} key=${id} id=${id} />` : html`<${List} />`}</div>`
}

function List() {
  const [state, setState] = useState({})
  const list = () => api.get('/runs').then(data => setState({ runs: data.runs }), error => setState({ error }))
  useEffect(() => { list() }, [])
  const ingest = archive.value?.ingest
  return html`<h1>${t('runs')}</h1>
    ${ingest?.allowed && html`<${Ingest} ingest=${ingest} />`}
    ${state.error && html`<${Trouble} error=${state.error} retry=${list} />`}
    ${state.runs?.length === 0 && html`<p class="empty dim">${t('noRuns')}</p>`}
    ${state.runs?.length > 0 && html`<ul class="list card">${state.runs.map(r => html`<li><a href=${`/runs/${encodeURIComponent(r.run)}`}><span><b>${begun(r)}</b><span class="dim small">${r.run}</span></span><${State} run=${r} /></a></li>`)}</ul>`}`
}

// When a run began, as its name says (UTC).
function begun({ run = '', started }) {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)/.exec(run) ?? []
  return started || year ? moment(started || `${year}-${month}-${day}T${hour}:${minute}:${second}Z`) : t('run')
}

function State({ run }) {
  if (run.running) return html`<span class="badge live"><i />${t('running')}</span>`
  return run.finished ? html`<span class="badge good">${t('finished')}</span>` : html`<span class="badge">${t('unfinished')}</span>`
}

function Run({ id }) {
  const [run, setRun] = useState(null)
  const [error, setError] = useState(null)
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    let source = null, gone = false
    setError(null)
    api.get(`/runs/${encodeURIComponent(id)}`).then(data => {
      if (gone) return
      setRun(data)
      if (!data.running) return
      source = new EventSource(api.address(`/runs/${encodeURIComponent(id)}/events`))
      source.addEventListener('progress', event => {
        const now = JSON.parse(event.data)
        setRun(now)
        if (!now.running) { source.close(); changed(); load(); notify(t('runDone')) }
      })
    }, e => { if (!gone) setError(e) })
    return () => { gone = true; source?.close() }
  }, [id, turn])
  const stop = () => api.remove(`/runs/${encodeURIComponent(id)}`).then(() => notify(t('stopping')), e => setError(e))
  if (!run) return html`<p><a class="backlink" href="/runs"><${Icon} name="back" />${t('runs')}</a></p><h1>${id}</h1>${error ? html`<${Trouble} error=${error} retry=${() => setTurn(turn + 1)} />` : html`<p class="dim">${t('loading')}</p>`}`
  const share = run.share ?? (run.sources?.length ? run.sources.filter(s => s.done || s.failed).length / run.sources.length : 0)
  const order = orderOf(id)
  const retry = () => begin(order.root, order.path, order.language).catch(setError)
  return html`<p><a class="backlink" href="/runs"><${Icon} name="back" />${t('runs')}</a></p>
    <div class="row-head"><div><h1>${begun(run)}</h1><p class="dim small">${run.run || id}</p></div><${State} run=${run} />
      ${run.stoppable && run.running && html`<button type="button" class="button" onClick=${stop}>${t('stop')}</button>`}</div>
    ${error && html`<${Trouble} error=${error} />`}
    ${run.running && html`<div class="progress"><progress max="1" value=${share} aria-label=${t('progress')} /><span class="dim small">${Math.round(share * 100)} %${run.eta_s != null ? ` · ${t('left', { time: long(run.eta_s) })}` : ''}</span></div>`}
    <dl class="figures">
      ${figure(t('videosDone'), number(run.done ?? 0))}${figure(t('keptVideos'), number(run.kept ?? 0))}${figure(t('failedVideos'), number(run.failed ?? 0), run.failed ? 'bad' : '')}
      ${figure(t('mediaLength'), long(run.media_seconds || 0))}${run.wall_seconds != null && figure(t('took'), long(run.wall_seconds))}${run.speed != null && figure(t('rate'), `${number(Math.round(run.speed * 10) / 10)} ×`)}
    </dl>
    <${Causes} run=${run} retry=${order && !run.running && archive.value?.ingest?.allowed ? retry : null} />
    ${run.partial?.length > 0 && html`<section class="card pad"><h2>${t('partial')}</h2><ul class="plainlist">${run.partial.map(p => html`<li>${Array.isArray(p) ? `${name(p[1])}: ${Math.round(p[0] * 100)} %` : `${name(p.source)}: ${Math.round((p.coverage ?? 0) * 100)} %`}</li>`)}</ul></section>`}
    ${Object.keys(run.notes ?? {}).length > 0 && html`<section class="card pad"><h2>${t('remarks')}</h2><ul class="plainlist">${Object.entries(run.notes).map(([text, n]) => html`<li>${text} <span class="dim">× ${n}</span></li>`)}</ul></section>`}
    <${Sources} sources=${run.sources ?? []} />`
}

const figure = (label, value, tone = '') => html`<div class=${tone}><dt>${label}</dt><dd>${value}</dd></div>`
const name = source => String(source ?? '').split(/[/\\]/).pop()

function Causes({ run, retry }) {
  const causes = Object.entries(run.causes ?? {}), failures = run.failures ?? []
  if (!causes.length && !failures.length) return null
  return html`<section class="card pad causes"><h2><${Icon} name="warn" />${t('causes')}</h2>
    ${causes.map(([cause, n]) => html`<p><b>${cause}</b> <span class="dim">× ${typeof n === 'number' ? n : JSON.stringify(n)}</span></p>`)}
    <ul class="plainlist">${failures.map(f => html`<li><b>${name(f.source)}</b> <span class="badge bad">${f.stage}</span> ${f.error}: ${f.message} <span class="dim">${f.attempts > 1 && t('tries', { n: f.attempts })}</span></li>`)}</ul>
    ${retry ? html`<p><button type="button" class="button" onClick=${retry}>${t('retryFailed')}</button></p>` : html`<p class="dim small">${t('retryHint')}</p>`}</section>`
}

function Sources({ sources }) {
  const [n, setN] = useState(100)
  if (!sources.length) return null
  return html`<section class="card"><h2 class="pad">${t('perVideo')}</h2><ul class="list sources">${sources.slice(0, n).map(s => html`<li key=${s.source}><span class="name">${name(s.source)}</span>
    <span class="stages">${Object.entries(s.stages ?? {}).map(([stage, status]) => html`<span class=${`stage ${status}`} title=${`${stage}: ${status}`}><i aria-hidden="true" />${stage}<span class="sr">: ${status}</span></span>`)}</span>
    <span class=${`badge ${s.failed ? 'bad' : s.done ? 'good' : 'live'}`}>${s.failed ? t('failed') : s.done ? t('done') : html`<i />${t('running')}`}</span></li>`)}</ul>
    ${sources.length > n && html`<p class="more"><button type="button" class="quiet" onClick=${() => setN(n + 200)}>${t('moreRows', { n: sources.length - n })}</button></p>`}</section>`
}

// What a run was started with, kept in this tab, so that it can be started once more.
function orderOf(run) {
  try { return JSON.parse(sessionStorage.getItem(`vidrag.run.${run}`) || 'null') } catch { return null }
}

async function begin(root, path, language) {
  const { run } = await api.post('/ingest', { root, path, settings: language ? { language } : {} })
  try { sessionStorage.setItem(`vidrag.run.${run}`, JSON.stringify({ root, path, language })) } catch { /* not kept */ }
  go(`/runs/${encodeURIComponent(run)}`)
}

function Ingest({ ingest }) {
  const [root, setRoot] = useState(ingest.roots[0] ?? '')
  const [path, setPath] = useState('')
  const [language, setLanguage] = useState('')
  const [error, setError] = useState(null)
  const [busy, setBusy] = useState(false)
  const start = async (where, what) => {
    setBusy(true)
    setError(null)
    try {
      await begin(where, what, language)
    } catch (e) { setError(e) }
    setBusy(false)
  }
  return html`<section class="card pad ingest"><h2>${t('indexVideos')}</h2>
    ${ingest.roots.length > 0 && html`<form class="form" onSubmit=${e => { e.preventDefault(); start(root, path.trim()) }}>
      <div class="field"><label class="label" for="i-root">${t('folder')}</label><select id="i-root" value=${root} onChange=${e => setRoot(e.target.value)}>${ingest.roots.map(r => html`<option value=${r}>${r}</option>`)}</select></div>
      <div class="field grow"><label class="label" for="i-path">${t('pathInside')}</label><input id="i-path" value=${path} onInput=${e => setPath(e.target.value)} placeholder="2024/summer" /></div>
      <div class="field"><label class="label" for="i-lang">${t('spokenLanguage')}</label><input id="i-lang" class="code" value=${language} onInput=${e => setLanguage(e.target.value.trim())} placeholder=${t('automatic')} maxlength="8" /></div>
      <button type="submit" class="button primary" disabled=${busy}>${t('startIndexing')}</button></form>`}
    ${ingest.uploads && html`<${Uploads} start=${start} />`}
    ${error && html`<${Trouble} error=${error} />`}</section>`
}

const PART = 4 << 20

// Sends files part by part; what has arrived is not sent again.
function Uploads({ start }) {
  const [files, setFiles] = useState([])
  const [over, setOver] = useState(false)
  const controls = useRef(new Map()).current
  const input = useRef(null)
  const set = (key, changes) => setFiles(all => all.map(f => (f.key === key ? { ...f, ...changes } : f)))
  useEffect(() => () => controls.forEach(c => c.abort()), [])

  const send = async entry => {
    const { key, file } = entry, control = new AbortController()
    controls.set(key, control)
    set(key, { state: 'sending', error: null })
    const url = api.address(`/uploads/${encodeURIComponent(file.name)}`)
    try {
      const head = await fetch(url, { method: 'HEAD', credentials: 'same-origin', signal: control.signal })
      let at = head.ok ? Number(head.headers.get('Upload-Offset') || 0) : 0
      if (at > file.size) at = 0
      set(key, { sent: at })
      while (at < file.size || file.size === 0) {
        const part = file.slice(at, at + PART)
        const reply = await api.call('PUT', `${url}?offset=${at}`, { body: part, type: 'application/octet-stream', signal: control.signal })
        const told = await reply.json()
        at = told.bytes ?? at + part.size
        set(key, { sent: at })
        if (!file.size) break
      }
      const { path } = await api.post(`/uploads/${encodeURIComponent(file.name)}/done`, {}, control.signal)
      set(key, { state: 'sent', path })
    } catch (error) {
      set(key, control.signal.aborted ? { state: 'paused' } : { state: 'failed', error })
    }
  }
  const add = list => {
    const fresh = [...list].map(file => ({ key: `${file.name} ${file.size} ${file.lastModified}`, file, sent: 0, state: 'waiting' }))
    setFiles(all => [...all.filter(f => !fresh.some(n => n.key === f.key)), ...fresh])
    ;(async () => { for (const entry of fresh) await send(entry) })()
  }
  const drop = event => { event.preventDefault(); setOver(false); add(event.dataTransfer.files) }
  return html`<div class=${`drop${over ? ' over' : ''}`} onDragOver=${e => { e.preventDefault(); setOver(true) }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <p>${t('dropHere')}</p><button type="button" class="button" onClick=${() => input.current.click()}><${Icon} name="add" />${t('chooseFiles')}</button>
      <label class="sr" for="i-files">${t('chooseFiles')}</label><input id="i-files" ref=${input} class="sr" type="file" multiple tabindex="-1" accept="video/*,audio/*,.mkv,.ts,.srt,.vtt" onChange=${e => { add(e.target.files); e.target.value = '' }} /></div>
    ${files.length > 0 && html`<ul class="list uploads">${files.map(f => html`<li key=${f.key}><span class="name">${f.file.name}</span>
      <progress max=${Math.max(1, f.file.size)} value=${f.sent} aria-label=${f.file.name} /><span class="dim small">${bytes(f.sent)} / ${bytes(f.file.size)}</span>
      ${f.state === 'sending' && html`<button type="button" class="quiet" onClick=${() => controls.get(f.key)?.abort()}>${t('pause')}</button>`}
      ${(f.state === 'paused' || f.state === 'failed') && html`<button type="button" class="quiet" onClick=${() => send(f)}>${t('resume')}</button>`}
      ${f.state === 'sent' && html`<button type="button" class="button" onClick=${() => start('uploads', f.path)}>${t('startIndexing')}</button>`}
      ${f.error && html`<span class="badge bad">${f.error.message}</span>`}</li>`)}</ul>`}`
}
