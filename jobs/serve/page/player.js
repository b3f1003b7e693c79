// Plays a video: the original, else a copy of its pictures in an MP4, else a stream made for it, else the stored frames
// on a clock of our own.
import { html, Icon, batch, clock, signal, t, useEffect, useRef } from './core.js'
import { hide } from './answer.js'

export class Player {
  constructor(video, start = 0) {
    this.video = video
    this.length = Math.max(video.seconds, 0.1)
    this.time = signal(Math.min(start, this.length))
    this.playing = signal(false)
    this.muted = signal(false)
    this.rate = signal(1)
    this.frames = signal([])
    this.speech = signal([])
    const { original, media } = video
    this.pictures = !media || media.has_video
    this.ways = []
    if (original.url && playable(original.mime)) this.ways.push('original')
    if (original.copy_url) this.ways.push('copy')
    if (original.play_url) this.ways.push('stream')
    this.ways.push('frames')
    this.way = signal(this.ways[0])
    this.why = signal(original.url ? '' : original.message)
    this.offset = 0 // where the stream begins
    this.element = null
    this.tick = this.tick.bind(this)
  }

  // ---- what the page asks of it ----
  seek(seconds) {
    const to = Math.max(0, Math.min(seconds, this.length - 0.05))
    this.time.value = to
    if (this.seekable()) this.set(to)
    else if (this.way.value === 'stream') this.seekStream(to)
  }

  // Whether the element plays a whole file, under its own controls.
  seekable() { return this.way.value === 'original' || this.way.value === 'copy' }

  by(seconds) { this.seek(this.time.peek() + seconds) }

  toggle() { this.playing.peek() ? this.pause() : this.play() }

  play() {
    if (this.way.value === 'frames') {
      if (this.time.peek() >= this.length - 0.1) this.time.value = 0
      this.started = performance.now()
      this.playing.value = true
      this.loop()
    } else this.element?.play()?.catch(() => {})
  }

  pause() {
    if (this.way.value === 'frames') this.playing.value = false
    else this.element?.pause()
  }

  mute() {
    this.muted.value = !this.muted.value
    if (this.element) this.element.muted = this.muted.value
  }

  retry() {
    batch(() => { this.why.value = ''; this.way.value = this.ways[0] })
  }

  // ---- the element ----
  attach(element) {
    if (this.element === element) return
    this.element = element
    if (element) this.load()
  }

  load() {
    const { original } = this.video, at = this.time.peek()
    this.fresh = true
    if (this.seekable()) {
      this.offset = 0
      this.element.src = this.way.value === 'copy' ? original.copy_url : original.url
    } else if (this.way.value === 'stream') this.openStream(at)
    this.element.muted = this.muted.peek()
  }

  set(seconds) {
    const element = this.element
    if (!element) return
    if (element.readyState) element.currentTime = seconds
    else this.fresh = true // set once its length is known
  }

  openStream(at) {
    this.offset = at
    this.element.src = `${this.video.original.play_url}?start=${at.toFixed(2)}`
  }

  seekStream(to) {
    const element = this.element, inside = to - this.offset
    if (!element) return
    for (let i = 0; i < element.buffered.length; i++) {
      if (inside >= element.buffered.start(i) && inside <= element.buffered.end(i)) { element.currentTime = inside; return }
    }
    const wasPlaying = this.playing.peek()
    this.openStream(to)
    if (wasPlaying) element.play()?.catch(() => {})
  }

  loaded() {
    const element = this.element
    if (this.pictures && !element.videoWidth) return this.fail('noPicture')
    if (this.fresh && this.seekable() && this.time.peek() > 0) element.currentTime = this.time.peek()
    this.fresh = false
  }

  // The next way; what cannot be played is told of.
  fail(reason) {
    const at = this.ways.indexOf(this.way.peek()), was = this.playing.peek()
    if (at >= this.ways.length - 1) return
    batch(() => {
      this.playing.value = false
      this.way.value = this.ways[at + 1]
      if (this.way.value === 'frames') this.why.value = t(reason === 'busy' ? 'busy' : 'cannotPlay')
    })
    if (this.way.value !== 'frames') { this.load(); if (was) this.play() }
    else if (this.element) { this.element.removeAttribute('src'); this.element.load() }
  }

  now() {
    if (this.element && !this.fresh && this.way.peek() !== 'frames') this.time.value = Math.min(this.length, this.offset + this.element.currentTime)
  }

  loop() {
    cancelAnimationFrame(this.request)
    this.request = requestAnimationFrame(this.tick)
  }

  tick(at) {
    if (!this.playing.peek()) return
    if (this.way.peek() === 'frames') {
      const next = this.time.peek() + (Math.max(0, at - this.started) / 1000) * this.rate.peek()
      this.started = at
      if (next >= this.length) batch(() => { this.time.value = this.length; this.playing.value = false })
      else this.time.value = next
    } else this.now()
    this.loop()
  }

  close() {
    this.playing.value = false
    cancelAnimationFrame(this.request)
    if (this.element) { this.element.pause(); this.element.removeAttribute('src'); this.element.load() }
    this.element = null
  }

  // The number of the stored frame on screen.
  frame() {
    const at = lastBefore(this.frames.value, this.time.value)
    return at < 0 ? 0 : at
  }
}

// Whether a browser says that it can play the type.  It may be wrong: then an error comes, or no picture.
function playable(mime) {
  if (!mime) return true
  const element = document.createElement('video')
  if (element.canPlayType(mime)) return true
  return mime.startsWith('video/x-matroska') && Boolean(element.canPlayType(mime.replace('x-matroska', 'mp4')) || element.canPlayType(mime.replace('x-matroska', 'webm')))
}

// The index of the last row that begins at `time` or before, -1 before the first.
export function lastBefore(rows, time) {
  let low = 0, high = rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (rows[middle].start <= time + 0.001) low = middle + 1
    else high = middle
  }
  return low - 1
}

export function PlayerView({ player }) {
  const { video } = player, way = player.way.value
  const box = useRef(null)
  useEffect(() => () => player.close(), [player])
  const media = way !== 'frames', whole = player.seekable()
  return html`<div class=${`player way-${way}${player.pictures ? '' : ' sound'}`} ref=${box}>
    <div class="stage">
      ${media && html`<video key="media" ref=${e => e && player.attach(e)} controls=${whole} preload="metadata" playsinline
        poster=${video.frame_url ? `/api/v1/videos/${video.id}/frame?t=${player.time.peek().toFixed(2)}` : null} aria-label=${video.name}
        onLoadedMetadata=${() => player.loaded()} onError=${() => player.fail('error')}
        onPlay=${() => { player.playing.value = true; player.loop() }} onPause=${() => { player.playing.value = false; player.now() }}
        onEnded=${() => { player.playing.value = false }} onTimeUpdate=${() => player.now()} onSeeked=${() => player.now()}
        onClick=${way === 'stream' ? () => player.toggle() : null}>
        ${whole && video.speech > 0 && html`<track kind="captions" src=${`/api/v1/videos/${video.id}/captions.vtt`} srclang=${video.languages?.[0] || 'en'} label=${t('transcript')} />`}
      </video>`}
      ${!media && html`<${Frames} player=${player} />`}
    </div>
    ${!whole && html`<${Bar} player=${player} />`}
    ${player.why.value && html`<p class="why"><${Icon} name="film" /><span>${player.why.value} ${way === 'frames' && video.frames > 0 && t('framesInstead')}</span>
      ${way === 'frames' && player.ways.length > 1 && html`<button type="button" class="quiet" onClick=${() => player.retry()}>${t('retry')}</button>`}</p>`}
  </div>`
}

// The stored picture of the moment with the line that is said.
function Frames({ player }) {
  const { video } = player, n = player.frame(), rows = player.frames.value
  const at = lastBefore(player.speech.value, player.time.value), line = player.speech.value[at]
  useEffect(() => { if (rows[n + 1]) new Image().src = url(video, n + 1) }, [n, rows.length])
  return html`${video.frames > 0 ? html`<img class="still" src=${url(video, n)} alt=${rows[n]?.text || ''} onError=${hide} onLoad=${e => { e.target.hidden = false }} onClick=${() => player.toggle()} />`
    : html`<div class="nopicture"><${Icon} name="said" /></div>`}
    ${line && line.end > player.time.value && html`<p class="caption"><span>${line.text}</span></p>`}`
}

const url = (video, n) => `/api/v1/videos/${video.id}/frame?n=${n}`

function Bar({ player }) {
  const playing = player.playing.value, at = player.time.value, frames = player.way.value === 'frames'
  return html`<div class="bar" role="group" aria-label=${t('player')}>
    <button type="button" class="round" onClick=${() => player.toggle()} aria-label=${playing ? t('pause') : t('play')}><${Icon} name=${playing ? 'pause' : 'play'} /></button>
    <input type="range" min="0" max=${player.length} step="0.1" value=${at} aria-label=${t('position')} aria-valuetext=${clock(at)} onInput=${e => player.seek(Number(e.target.value))} />
    <span class="time"><b>${clock(at)}</b> / ${clock(player.length)}</span>
    ${frames ? html`<select aria-label=${t('speed')} value=${String(player.rate.value)} onChange=${e => { player.rate.value = Number(e.target.value) }}>${[1, 2, 4, 8].map(x => html`<option value=${String(x)}>${x}×</option>`)}</select>`
      : html`<button type="button" class="round" onClick=${() => player.mute()} aria-label=${player.muted.value ? t('unmute') : t('mute')} aria-pressed=${player.muted.value}><${Icon} name=${player.muted.value ? 'mute' : 'sound'} /></button>`}
  </div>`
}
