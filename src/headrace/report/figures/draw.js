(function () {
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const colours = () => {
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue('--ink').trim(), line = css.getPropertyValue('--line').trim();
    const axis = {gridcolor: line, zerolinecolor: line, linecolor: line};
    return {ink: ink, axis: axis};
  };
  const draw = (box) => {
    box.figure = box.figure || JSON.parse(box.querySelector('script').textContent);
    const c = colours(), layout = Object.assign({}, box.figure.layout);
    layout.paper_bgcolor = layout.plot_bgcolor = 'rgba(0,0,0,0)';
    layout.font = Object.assign({}, layout.font, {color: c.ink, family: 'system-ui, sans-serif'});
    Object.keys(layout).filter((k) => /^[xy]axis/.test(k)).concat(['xaxis', 'yaxis']).forEach((k) => {
      layout[k] = Object.assign({}, c.axis, layout[k]);
    });
    layout.autosize = true;
    layout.height = box.clientHeight;
    Plotly.react(box, box.figure.data, layout, {responsive: true, displaylogo: false, displayModeBar: false});
  };
  const all = () => document.querySelectorAll('.plot').forEach(draw);
  all();
  dark.addEventListener('change', all);
})();
