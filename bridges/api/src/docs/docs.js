// Shows /openapi.json: every operation with its parameters, body and answers, and a form to try it.

const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element && key !== 'list') element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};

const response = await fetch('/openapi.json');
const api = await response.json();
const resolve = (schema) => {
  const path = schema?.$ref;
  return path ? path.slice(2).split('/').reduce((at, key) => at[key], api) : schema;
};

// A short name of a schema's type.
const typeOf = (schema) => {
  if (!schema) return '';
  if (schema.$ref) return schema.$ref.split('/').pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const some = schema.anyOf ?? schema.oneOf;
  if (some) return some.map(typeOf).join(' | ');
  if (schema.type === 'array') return `${typeOf(schema.items)}[]`;
  const type = [schema.type ?? 'any'].flat().join(' | ');
  return schema.format && type.includes('string') ? `${type} (${schema.format})` : type;
};

const table = (heading, rows) => make('table', {},
  make('thead', {}, make('tr', {}, ...heading.map((text) => make('th', { scope: 'col' }, text)))),
  make('tbody', {}, ...rows.map((cells) => make('tr', {}, ...cells.map((cell) => make('td', {}, cell))))));

const fields = (schema) => {
  const object = resolve(schema);
  const rows = Object.entries(object?.properties ?? {}).map(([name, field]) => [
    make('code', {}, name + (object.required?.includes(name) ? '' : '?')),
    typeOf(field), field.description ?? resolve(field)?.description ?? '',
  ]);
  return rows.length ? table(['field', 'type', 'what'], rows) : make('p', {}, typeOf(schema));
};

// A body to start from.
const example = (schema, depth = 0) => {
  const known = resolve(schema) ?? {};
  if (known.enum) return known.enum[0];
  if (known.anyOf) return example(known.anyOf[0], depth);
  const type = [known.type].flat()[0];
  if (type === 'object' && depth < 4) {
    return Object.fromEntries((known.required ?? []).map((key) => [key, example(known.properties[key], depth + 1)]));
  }
  if (type === 'integer' || type === 'number') return known.minimum ?? 0;
  if (type === 'boolean') return true;
  if (type === 'array') return [];
  return known.format === 'uuid' ? uuid() : '';
};

// A UUIDv7: what idempotency keys are.
const uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const time = BigInt(Date.now());
  for (let i = 0; i < 6; i++) bytes[i] = Number((time >> BigInt(40 - 8 * i)) & 255n);
  bytes[6] = (bytes[6] & 15) | 0x70;
  bytes[8] = (bytes[8] & 63) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
};

const tryIt = (method, path, operation, parameters) => {
  const inputs = parameters.map((parameter) => {
    const input = make('input', { name: parameter.name, required: parameter.required, spellcheck: false });
    if (parameter.name === 'key') input.value = uuid();
    return { parameter, input };
  });
  const schema = operation.requestBody?.content['application/json'].schema;
  const body = schema && make('textarea', { spellcheck: false, value: JSON.stringify(example(schema), null, 2) });
  const result = make('pre', { hidden: true, tabIndex: 0 });
  const form = make('form', {},
    ...inputs.map(({ parameter, input }) => make('label', {}, `${parameter.name} `, input)),
    ...(body ? [make('label', {}, 'body', body)] : []),
    make('button', { type: 'submit' }, 'Send'));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    let target = path;
    const query = new URLSearchParams();
    for (const { parameter, input } of inputs) {
      if (parameter.in === 'path') target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== '') query.set(parameter.name, input.value);
    }
    const headers = {};
    const token = document.querySelector('#token').value.trim();
    if (token) headers.authorization = `Bearer ${token}`;
    if (body) headers['content-type'] = 'application/json';
    const text = query.toString();
    result.hidden = false;
    try {
      const answer = await fetch(text ? `${target}?${text}` : target, { method, headers, body: body?.value });
      const content = await answer.text();
      let shown = content;
      try { shown = JSON.stringify(JSON.parse(content), null, 2); } catch { /* not JSON: as it is */ }
      result.textContent = `${answer.status} ${answer.statusText}\n\n${shown}`;
    } catch (error) {
      result.textContent = String(error);
    }
  });
  return make('div', {}, make('h4', {}, 'Try it'), form, result);
};

const show = (method, path, item) => {
  const operation = item[method];
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
  const inner = make('div', {});
  if (operation.security.length) inner.append(make('p', {}, 'Needs a bearer token.'));
  if (parameters.length) {
    inner.append(make('h4', {}, 'Parameters'), table(['name', 'in', 'type', 'what'], parameters.map((parameter) => [
      make('code', {}, parameter.name + (parameter.required ? '' : '?')), parameter.in,
      typeOf(parameter.schema), parameter.description ?? '',
    ])));
  }
  const body = operation.requestBody?.content['application/json'].schema;
  if (body) inner.append(make('h4', {}, 'Body'), fields(body));
  inner.append(make('h4', {}, 'Answers'));
  for (const [status, answer] of Object.entries(operation.responses)) {
    const content = answer.content?.['application/json']?.schema;
    inner.append(make('p', {}, make('b', {}, status), ` ${answer.description}`), ...(content ? [fields(content)] : []));
  }
  inner.append(tryIt(method.toUpperCase(), path, operation, parameters));
  const details = make('details', { id: operation.operationId },
    make('summary', {}, make('b', { className: method }, method.toUpperCase()), ' ', make('code', {}, path), ` — ${operation.summary}`), inner);
  details.dataset.text = `${method} ${path} ${operation.summary} ${operation.tags.join(' ')}`.toLowerCase();
  return details;
};

const methods = ['get', 'post', 'put', 'patch', 'delete'];
const main = document.querySelector('#operations');
for (const { name } of api.tags) {
  const section = make('section', {}, make('h2', {}, name));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of methods.filter((method) => item[method]?.tags.includes(name))) section.append(show(method, path, item));
  }
  main.append(section);
}
document.querySelector('#about').textContent = `${api.info.summary} ${api.info.description} Version ${api.info.version}.`;
document.querySelector('#token-form').addEventListener('submit', (event) => event.preventDefault());
const search = document.querySelector('#search');
document.querySelector('#search-form').addEventListener('submit', (event) => event.preventDefault());
search.addEventListener('input', () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const details of document.querySelectorAll('details')) {
    details.hidden = !words.every((word) => details.dataset.text.includes(word));
  }
  for (const section of document.querySelectorAll('section')) section.hidden = !section.querySelector('details:not([hidden])');
});
const wanted = location.hash && document.getElementById(location.hash.slice(1));
if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
