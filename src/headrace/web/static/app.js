(function () {
  'use strict';
  const body = document.body, base = body.dataset.base;
  const main = () => document.getElementById('main');

  // How long ago a moment is; the moment itself stays where the pointer rests.
  const ago = (stamp) => {
    const s = (Date.now() - Date.parse(stamp)) / 1000, later = s < 0, n = Math.abs(s);
    const said = n < 50 ? Math.round(n) + ' s' : n < 3000 ? Math.round(n / 60) + ' min'
      : n < 80000 ? Math.round(n / 3600) + ' h' : n < 86400 * 60 ? Math.round(n / 86400) + ' d' : '';
    return said && (later ? 'in ' + said : said + ' ago');
  };
  const times = () => document.querySelectorAll('time.ago').forEach((t) => {
    const said = ago(t.dateTime);
    if (said) t.textContent = said;
  });

  // Light, dark, or as the machine has it.
  const root = document.documentElement, button = document.getElementById('theme');
  if (button) button.addEventListener('click', () => {
    const dark = root.dataset.theme ? root.dataset.theme === 'dark'
      : window.matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    document.cookie = 'headrace_theme=' + root.dataset.theme + '; Path=' + base + '; SameSite=Strict; Max-Age=31536000';
    document.dispatchEvent(new Event('headrace:drawn'));
  });

  // What scrolls by itself is reached by keys, where nothing in it is.
  const reach = (el) => {
    const scrolls = el.scrollWidth > el.clientWidth && !el.querySelector('a[href],button,input,select,summary');
    if (!scrolls) return ['tabindex', 'role', 'aria-label'].forEach((name) => el.removeAttribute(name));
    const part = el.closest('section, details, .cols > div') || main();
    const said = el.querySelector('caption') || part.querySelector('h2, h3, summary');
    el.tabIndex = 0;
    el.setAttribute('role', 'group');
    el.setAttribute('aria-label', (said ? said.textContent.trim() : 'Table') + ', scrolls');
  };
  const sizes = new ResizeObserver((seen) => seen.forEach((s) => reach(s.target)));
  const wide = () => document.querySelectorAll('.wide').forEach((el) => sizes.observe(el));

  // On a phone the pages are behind a button.
  const menu = document.getElementById('menu'), pages = document.getElementById('pages');
  if (menu) menu.addEventListener('click', () => {
    menu.setAttribute('aria-expanded', String(pages.classList.toggle('open')));
  });

  // Live: a cheap question every few seconds; the page is fetched anew where something has changed, and not
  // while somebody fills in a form or has chosen rows.
  const live = document.getElementById('live');
  const busy = () => {
    const at = document.activeElement;
    if (at && main().contains(at) && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return true;
    if (String(window.getSelection())) return true;
    return Array.from(main().querySelectorAll('input[type=text],input[type=number],textarea,input[type=checkbox]'))
      .some((i) => i.type === 'checkbox' ? i.checked !== i.defaultChecked : i.value !== i.defaultValue);
  };
  const place = (el) => {
    if (!el || !main().contains(el)) return '';
    if (el.id) return '#' + CSS.escape(el.id);
    const all = Array.from(main().querySelectorAll('a,button,summary'));
    return all.indexOf(el);
  };
  const swap = (text) => {
    const made = new DOMParser().parseFromString(text, 'text/html'), fresh = made.getElementById('main');
    if (!fresh) return;
    const at = place(document.activeElement);
    const open = Array.from(main().querySelectorAll('details')).map((d) => d.open);
    main().replaceWith(fresh);
    fresh.querySelectorAll('details').forEach((d, i) => { if (i < open.length) d.open = open[i]; });
    const back = typeof at === 'number' ? fresh.querySelectorAll('a,button,summary')[at] : at && fresh.querySelector(at);
    if (back) back.focus({preventScroll: true});
    body.dataset.version = made.body.dataset.version || body.dataset.version;
    times();
    wide();
    document.dispatchEvent(new Event('headrace:drawn'));
    document.dispatchEvent(new Event('headrace:swapped'));
  };
  const EVERY = 4000;
  let misses = 0;
  const look = async () => {
    if (!document.hidden && body.dataset.version && live) {
      try {
        const told = await fetch(base + '/version', {headers: {'If-None-Match': '"' + body.dataset.version + '"'}, cache: 'no-store'});
        if (told.status === 200) {
          const now = (await told.json()).version;
          if (now !== body.dataset.version && !busy()) {
            const page = await fetch(location.href, {headers: {Accept: 'text/html'}, cache: 'no-store'});
            if (page.ok && !page.redirected) swap(await page.text());
          }
        } else if (told.status === 401) { location.reload(); return; }
        misses = 0;
        live.textContent = '';
        live.classList.remove('lost');
      } catch (error) {
        misses += 1;
        if (misses > 1) { live.textContent = 'no connection'; live.classList.add('lost'); }
      }
    }
    setTimeout(look, EVERY * Math.min(8, 1 + misses));
  };
  setTimeout(look, EVERY);
  setInterval(times, 20000);
  times();
  wide();

  // Keys of the review page: a number is a choice, j and k move, s leaves it to others.
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) {
      if (e.key === 'Escape') e.target.blur();
      return;
    }
    if (e.key === '/') {
      const search = main().querySelector('input[type=search]');
      if (search) { e.preventDefault(); search.focus(); }
      return;
    }
    const hit = main().querySelector('[data-key="' + CSS.escape(e.key) + '"]');
    if (hit) { e.preventDefault(); hit.click(); }
  });
  // A question before what can't be undone.
  document.addEventListener('submit', (e) => {
    const ask = e.submitter && e.submitter.dataset.ask;
    if (ask && !window.confirm(ask)) e.preventDefault();
  });
  // Choices that lead on by themselves.
  document.addEventListener('change', (e) => { if (e.target.dataset.go !== undefined) e.target.form.requestSubmit(); });
  document.addEventListener('change', () => {
    document.querySelectorAll('[data-needs]').forEach((b) => {
      const n = main().querySelectorAll('input[name^="run-"]:checked,input[data-pick]:checked').length;
      b.disabled = n < Number(b.dataset.needs);
    });
  });
})();
