// Runs before the first paint: theme, language, and the plain page hidden where scripts will fill it.
(function () {
  const root = document.documentElement
  function stored(name) {
    try { return localStorage.getItem('vidrag.' + name) } catch { return null }
  }
  const theme = stored('theme')
  if (theme === 'dark' || theme === 'light') root.dataset.theme = theme
  const asked = new URLSearchParams(location.search).get('lang') || stored('lang') || navigator.language || 'en'
  root.lang = asked.toLowerCase().startsWith('de') ? 'de' : 'en'
  if (location.pathname === '/login') return
  root.classList.add('js')
  addEventListener('error', e => { if (e.target && e.target.tagName === 'SCRIPT') root.classList.remove('js') }, true)
})()
