// A part of the video as a file, links to moments, and files of the transcript.
import { html, Icon, clock, notify, seconds, short, signal, t, useState } from './core.js'

const LONGEST = 600

export class Clip {
  constructor(player) {
    this.player = player
    this.from = signal(null)
    this.to = signal(null)
  }

  setIn(time = this.player.time.peek()) {
    this.from.value = time
    if (this.to.value !== null && this.to.value <= time) this.to.value = null
    notify(t('inAt', { at: clock(time, true) }))
  }

  setOut(time = this.player.time.peek()) {
    this.to.value = time
    if (this.from.value === null || this.from.value >= time) this.from.value = 0
    notify(t('outAt', { at: clock(time, true) }))
  }

  clear() { this.from.value = this.to.value = null }
}

export async function copyLink(player) {
  const url = `${location.origin}/v/${player.video.id}?t=${short(player.time.peek())}`
  try {
    await navigator.clipboard.writeText(url)
    notify(t('copied', { at: clock(player.time.peek()) }))
  } catch {
    prompt(t('copyThis'), url)
  }
}

export function ClipTools({ clip, video, player }) {
  const from = clip.from.value, to = clip.to.value, url = video.original.clip_url
  const long = from !== null && to !== null && to - from > LONGEST
  const ready = url && from !== null && to !== null && to - from >= 0.04 && !long
  const base = `/api/v1/videos/${video.id}`
  return html`<section class="tools" aria-label=${t('clipAndLinks')}>
    <div class="clip" role="group" aria-label=${t('clip')}>
      <${Icon} name="cut" />
      <${Point} label=${t('in')} key_="i" value=${from} take=${v => clip.setIn(v)} now=${() => clip.setIn()} length=${player.length} />
      <${Point} label=${t('out')} key_="o" value=${to} take=${v => clip.setOut(v)} now=${() => clip.setOut()} length=${player.length} />
      ${ready ? html`<a class="button" href=${`${url}?start=${short(from)}&end=${short(to)}`} download><${Icon} name="down" />${t('saveClip', { at: clock(to - from, true) })}</a>`
        : html`<button type="button" class="button" disabled title=${url ? t('setBoth') : t('noClip')}><${Icon} name="down" />${t('clip')}</button>`}
      ${(from !== null || to !== null) && html`<button type="button" class="round" onClick=${() => clip.clear()} aria-label=${t('clear')}><${Icon} name="close" /></button>`}
      ${long && html`<p class="dim small">${t('tooLong')}</p>`}${!url && from !== null && html`<p class="dim small">${t('noClip')}</p>`}
    </div>
    <div class="files">
      <button type="button" class="button" onClick=${() => copyLink(player)}><${Icon} name="link" />${t('copyLink')}</button>
      ${video.speech > 0 && html`<a class="file" href=${`${base}/captions.srt?download=1`} download>SRT</a>
        <a class="file" href=${`${base}/captions.vtt?download=1`} download>VTT</a>`}
      <a class="file" href=${`${base}/rows.jsonl`} download>JSONL</a>
    </div>
  </section>`
}

function Point({ label, key_, value, take, now, length }) {
  const [wrong, setWrong] = useState(false)
  const given = event => {
    const time = seconds(event.target.value)
    setWrong(time === null || time > length + 1)
    if (time !== null && time <= length + 1) take(Math.min(time, length))
  }
  return html`<span class="point"><button type="button" class="quiet" onClick=${now} title=${t('setHere', { key: key_ })}>${label}</button>
    <input class="time" aria-label=${`${label} ${t('time')}`} aria-invalid=${wrong} placeholder="--:--" value=${value === null ? '' : clock(value, true)} onChange=${given} /></span>`
}
