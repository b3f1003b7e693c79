// Starts the page.
import { html, Icon, render, Trouble, lang, setLang, theme, setTheme, spoken, toast, t, effect } from './core.js'
import { archive, archiveError, load } from './archive.js'
import { route } from './place.js'
import { follow } from './asking.js'
import { Box } from './box.js'
import { LibraryPage } from './library.js'
import { VideoPage } from './video.js'
import { RunsPage } from './runs.js'
import { Help, open } from './help.js'
import { enter } from './login.js'

const THEMES = { system: 'dark', dark: 'light', light: 'system' }
const THEME_ICONS = { system: 'system', dark: 'moon', light: 'sun' }

function Page() {
  const r = route.value, home = r.page === 'library' && !r.q
  const Shown = { library: LibraryPage, video: VideoPage, runs: RunsPage }[r.page]
  return html`<a class="skip" href="#main" onClick=${e => { e.preventDefault(); document.getElementById('main').focus() }}>${t('skip')}</a>
    <header class=${`top is-${home ? 'home' : r.page}`}>
      <a class="brand" href="/"><img src="/static/icon.svg" alt="" width="28" height="28" /><span>${archive.value?.name ?? 'vidrag'}</span></a>
      <${Box} home=${home} />
      <nav aria-label=${t('pages')}><a href="/" aria-current=${r.page === 'library' ? 'page' : null}>${t('library')}</a><a href="/runs" aria-current=${r.page === 'runs' ? 'page' : null}>${t('runs')}</a></nav>
      <div class="settings">
        <button type="button" class="round words" onClick=${() => setLang(lang.value === 'de' ? 'en' : 'de')} aria-label=${t('otherLanguage')}>${lang.value === 'de' ? 'EN' : 'DE'}</button>
        <button type="button" class="round" onClick=${() => setTheme(THEMES[theme.value] ?? 'system')} aria-label=${`${t('theme')}: ${t(`theme-${theme.value}`)}`} title=${`${t('theme')}: ${t(`theme-${theme.value}`)}`}><${Icon} name=${THEME_ICONS[theme.value] ?? 'system'} /></button>
        <button type="button" class="round" onClick=${() => { open.value = true }} aria-label=${t('keys')} title=${t('keys')}><${Icon} name="help" /></button>
      </div>
    </header>
    <main id="main" tabindex="-1">
      ${archiveError.value && html`<${Trouble} error=${archiveError.value} retry=${load} />`}
      <${Shown} />
    </main>
    <div class="sr" role="status" aria-live="polite">${spoken.value}</div>
    ${toast.value && html`<div class="toast" aria-hidden="true">${toast.value}</div>`}
    <${Help} />`
}

async function start() {
  document.getElementById('plain')?.remove()
  const begun = load()
  render(html`<${Page} />`, document.getElementById('app'))
  await begun
  effect(() => follow(route.value))
}

if (location.pathname === '/login') enter()
else start()
