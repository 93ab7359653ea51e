// A real identity provider (npm `oidc-provider`) for tests. Its first line of output says where it is; `POST /control`
// puts other keys in place of those it signs with, as an operator who rotates them does. It ends with its input.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// Nobody reads standard output behind the first line, and a write there would end the process.
console.info = console.error;
// The package is in the folder of the test tools, not beside this file.
const require = createRequire(pathToFileURL(`${process.argv[2]}/package.json`));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const SCOPE = 'tools:call contexts:read';
const SECRET = 'a secret with: blanks & signs';
const keys = new Map();

function key(kid) {
  if (!keys.has(kid)) {
    const kind = kid.split('-')[0];
    const pair =
      kind === 'rs' ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : kind === 'es' ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519');
    const alg = { rs: 'RS256', es: 'ES256', ed: 'EdDSA' }[kind];
    keys.set(kid, { ...pair.privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  }
  return keys.get(kid);
}

// The algorithm of an access token is the last part of the resource it is for; `opaque` is none.
function resourceServer(_, resource) {
  const kind = resource.split('/').pop();
  const format = kind === 'opaque' ? { accessTokenFormat: 'opaque' } : { accessTokenFormat: 'jwt', jwt: { sign: { alg: kind } } };
  return { scope: SCOPE, audience: resource, accessTokenTTL: 3600, ...format };
}

function provider(issuer, kids) {
  const client = (client_id, tenant) => ({
    client_id, tenant, client_secret: SECRET, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    token_endpoint_auth_method: 'client_secret_basic', id_token_signed_response_alg: 'RS256', scope: SCOPE,
  });
  const made = new Provider(issuer, {
    jwks: { keys: kids.map(key) },
    clients: [client('robot', 'acme'), client('other', 'beta'), client('platform', 'none')],
    extraClientMetadata: { properties: ['tenant'] },
    extraTokenClaims: (_, token) => ({ tenant: token.client?.tenant ?? token.extra?.tenant }),
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    scopes: SCOPE.split(' '),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer, defaultResource: () => undefined },
    },
  });
  made.on('server_error', (_, error) => console.error(error));
  return made.callback();
}

let handle;
const server = createServer((request, response) => {
  if (request.url !== '/control') return handle(request, response);
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    handle = provider(issuer, JSON.parse(body).keys);
    response.end();
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
handle = provider(issuer, ['rs-1', 'es-1', 'ed-1']);
console.log(JSON.stringify({ issuer, secret: SECRET }));
process.stdin.on('end', () => process.exit(0)).resume();
