{{/* privyseal.toml: what the chart sets, over `config`. */}}

{{- define "privyseal.ownSettings" -}}
{{- $etc := "/etc/privyseal" -}}
server:
  listen: {{ printf "%s:%d" .Values.listenAddress (int .Values.ports.grpc) | quote }}
  ops_listen: {{ printf "%s:%d" .Values.listenAddress (int .Values.ports.ops) | quote }}
  http_ops_listen: {{ printf "%s:%d" .Values.listenAddress (int .Values.ports.metrics) | quote }}
  tls:
    certificate_file: {{ $etc }}/tls/tls.crt
    private_key_file: {{ $etc }}/tls/tls.key
    {{- if .Values.tls.clientCa.enabled }}
    client_ca_file: {{ include "privyseal.clientCaFile" . }}
    {{- end }}
  {{- if .Values.jwt.enabled }}
  jwt:
    {{- if include "privyseal.hasTokenPort" . }}
    listen: {{ printf "%s:%d" .Values.listenAddress (int .Values.ports.token) | quote }}
    {{- end }}
    issuers:
      {{- with .Values.jwt.issuers }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- if .Values.jwt.kubernetes.enabled }}
      cluster:
        issuer: {{ .Values.jwt.kubernetes.issuer | quote }}
        audience: {{ .Values.jwt.kubernetes.audience | quote }}
        jwks_url: https://kubernetes.default.svc/openid/v1/jwks
        jwks_ca_file: /var/run/secrets/privyseal/cluster/ca.crt
        jwks_token_file: /var/run/secrets/privyseal/cluster/token
        claims: {namespace: /kubernetes.io/namespace}
      {{- end }}
  {{- end }}
{{- if .Values.embeddedStore.enabled }}
store:
  url: embedded:///var/lib/privyseal/store.db
  key_file: {{ $etc }}/store/store.key
{{- else }}
store:
  url: {{ printf "vault://%s/%s" .Values.vault.mount .Values.vault.prefix }}
vault:
  {{- include "privyseal.vaultSettings" . | nindent 2 }}
{{- end }}
state:
  {{- include "privyseal.stateSettings" . | nindent 2 }}
escrow:
  path: /var/lib/privyseal/escrow
policy:
  file: {{ $etc }}/policy/policy.yaml
{{- if eq .Values.audit.destination "file" }}
audit:
  file: /var/lib/privyseal/audit.jsonl
{{- end }}
log:
  format: json
{{- end -}}

{{- define "privyseal.clientCaFile" -}}
{{- $ca := .Values.tls.clientCa -}}
{{- if or $ca.existingConfigMap $ca.existingSecret -}}
/etc/privyseal/client-ca/{{ $ca.key }}
{{- else -}}
/etc/privyseal/tls/ca.crt
{{- end -}}
{{- end -}}

{{- define "privyseal.vaultSettings" -}}
{{- $vault := .Values.vault -}}
{{- $auth := $vault.auth -}}
{{- $login := "/var/run/secrets/privyseal/vault" -}}
address: {{ $vault.address }}
{{- with $vault.namespace }}
namespace: {{ . | quote }}
{{- end }}
{{- if or $vault.ca.existingConfigMap $vault.ca.existingSecret }}
ca_file: /etc/privyseal/vault-ca/{{ $vault.ca.key }}
{{- end }}
auth: {{ $auth.method }}
{{- with $auth.mount }}
auth_mount: {{ . | quote }}
{{- end }}
{{- if has $auth.method (list "kubernetes" "jwt" "tls-certificate") }}
{{- with $auth.role }}
role: {{ . | quote }}
{{- end }}
{{- end }}
{{- if has $auth.method (list "kubernetes" "jwt") }}
jwt_file: {{ $login }}/token
{{- else if eq $auth.method "approle" }}
role_id_file: {{ $login }}/role-id
secret_id_file: {{ $login }}/secret-id
{{- else if eq $auth.method "tls-certificate" }}
client_certificate_file: {{ $login }}/tls.crt
client_private_key_file: {{ $login }}/tls.key
{{- else }}
token_file: {{ $login }}/token
{{- end }}
{{- if $vault.allowPlaintext }}
allow_plaintext: true
{{- end }}
{{- end -}}

{{- define "privyseal.stateSettings" -}}
{{- $state := .Values.state -}}
{{- $files := "/etc/privyseal/state" -}}
url: {{ include "privyseal.stateUrl" . | quote }}
prefix: {{ $state.prefix | quote }}
{{- if not (include "privyseal.isStateShared" .) }}
path: /var/lib/privyseal/nonces.high-water
{{- end }}
{{- with $state.username }}
username: {{ . | quote }}
{{- end }}
{{- if $state.existingSecret }}
password_file: {{ $files }}-secret/{{ $state.passwordKey }}
{{- with $state.sentinelPasswordKey }}
sentinel_password_file: {{ $files }}-secret/{{ . }}
{{- end }}
{{- end }}
{{- if or $state.ca.existingConfigMap $state.ca.existingSecret }}
ca_file: {{ $files }}-ca/{{ $state.ca.key }}
{{- end }}
{{- if $state.clientCertificate.existingSecret }}
certificate_file: {{ $files }}-tls/tls.crt
private_key_file: {{ $files }}-tls/tls.key
{{- end }}
{{- if or $state.allowPlaintext .Values.valkey.enabled }}
allow_plaintext: true
{{- end }}
{{- end -}}

{{- define "privyseal.toml" -}}
{{- $settings := mergeOverwrite (deepCopy .Values.config) (include "privyseal.ownSettings" . | fromYaml) -}}
{{- include "privyseal.tomlTable" (dict "path" "" "settings" $settings) | trim -}}
{{- end -}}

{{/* JSON's texts, numbers, truths and lists are TOML's too. */}}
{{- define "privyseal.tomlTable" -}}
{{- $path := .path -}}
{{- range $name, $value := .settings -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) -}}
{{ $name }} = {{ toJson $value }}
{{ end -}}
{{- end -}}
{{- range $name, $value := .settings -}}
{{- if kindIs "map" $value -}}
{{- $inner := ternary $name (printf "%s.%s" $path $name) (eq $path "") }}
[{{ $inner }}]
{{ include "privyseal.tomlTable" (dict "path" $inner "settings" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
