{{/*
Where files come from. A Secret is root's and our group's, so it is readable by the group and by
nobody else: mode 0440, which is 288 in every version of YAML. The kubelet replaces what changed,
as nothing is mounted by subPath.
*/}}

{{- define "privyseal.volumes" -}}
- name: config
  configMap: {name: {{ include "privyseal.fullname" . }}-config}
- name: policy
  configMap: {name: {{ include "privyseal.policyConfigMap" . }}}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- if not .Values.persistence.enabled }}
- name: state
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- end }}
{{ include "privyseal.tlsVolume" . }}
{{- with .Values.tls.clientCa }}
{{- if and .enabled (or .existingConfigMap .existingSecret) }}
{{ include "privyseal.caVolume" (dict "name" "client-ca" "ca" .) }}
{{- end }}
{{- end }}
{{- if .Values.embeddedStore.enabled }}
- name: store
  secret: {secretName: {{ .Values.embeddedStore.existingSecret }}, defaultMode: 288}
{{- else }}
{{- with .Values.vault.ca }}
{{- if or .existingConfigMap .existingSecret }}
{{ include "privyseal.caVolume" (dict "name" "vault-ca" "ca" .) }}
{{- end }}
{{- end }}
{{ include "privyseal.vaultLoginVolume" . }}
{{- end }}
{{- with .Values.state.existingSecret }}
- name: state-secret
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- with .Values.state.ca }}
{{- if or .existingConfigMap .existingSecret }}
{{ include "privyseal.caVolume" (dict "name" "state-ca" "ca" .) }}
{{- end }}
{{- end }}
{{- with .Values.state.clientCertificate.existingSecret }}
- name: state-tls
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- if and .Values.jwt.enabled .Values.jwt.kubernetes.enabled }}
- name: cluster
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "privyseal.tlsVolume" -}}
{{- $csi := .Values.tls.csi -}}
{{- if not $csi.enabled -}}
- name: tls
  secret: {secretName: {{ include "privyseal.tlsSecret" . }}, defaultMode: 288}
{{- else if eq $csi.driver "csi.spiffe.io" -}}
- name: spiffe-workload-api
  csi: {driver: csi.spiffe.io, readOnly: true}
- name: tls
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- else -}}
{{- $group := dict -}}
{{- with .Values.podSecurityContext.fsGroup -}}
{{- $group = dict (printf "%s/fs-group" $csi.driver) (printf "%d" (int64 .)) -}}
{{- end -}}
- name: tls
  csi:
    driver: {{ $csi.driver }}
    readOnly: true
    volumeAttributes:
      {{- toYaml (merge (deepCopy $csi.volumeAttributes) $group) | nindent 6 }}
{{- end -}}
{{- end -}}

{{- define "privyseal.caVolume" -}}
- name: {{ .name }}
  {{- if .ca.existingConfigMap }}
  configMap: {name: {{ .ca.existingConfigMap }}, items: [{key: {{ .ca.key }}, path: {{ .ca.key }}}]}
  {{- else }}
  secret: {secretName: {{ .ca.existingSecret }}, defaultMode: 288, items: [{key: {{ .ca.key }}, path: {{ .ca.key }}}]}
  {{- end }}
{{- end -}}

{{- define "privyseal.vaultLoginVolume" -}}
{{- $auth := .Values.vault.auth -}}
- name: vault-login
  {{- if has $auth.method (list "kubernetes" "jwt") }}
  projected:
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ $auth.audience | quote }}
          expirationSeconds: {{ int $auth.expirationSeconds }}
  {{- else }}
  secret: {secretName: {{ $auth.existingSecret }}, defaultMode: 288}
  {{- end }}
{{- end -}}

{{- define "privyseal.volumeMounts" -}}
- {name: config, mountPath: /etc/privyseal/config, readOnly: true}
- {name: policy, mountPath: /etc/privyseal/policy, readOnly: true}
- {name: tls, mountPath: /etc/privyseal/tls, readOnly: true}
- {name: tmp, mountPath: /tmp}
- {name: state, mountPath: /var/lib/privyseal}
{{- with .Values.tls.clientCa }}
{{- if and .enabled (or .existingConfigMap .existingSecret) }}
- {name: client-ca, mountPath: /etc/privyseal/client-ca, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.embeddedStore.enabled }}
- {name: store, mountPath: /etc/privyseal/store, readOnly: true}
{{- else }}
{{- if or .Values.vault.ca.existingConfigMap .Values.vault.ca.existingSecret }}
- {name: vault-ca, mountPath: /etc/privyseal/vault-ca, readOnly: true}
{{- end }}
- {name: vault-login, mountPath: /var/run/secrets/privyseal/vault, readOnly: true}
{{- end }}
{{- if .Values.state.existingSecret }}
- {name: state-secret, mountPath: /etc/privyseal/state-secret, readOnly: true}
{{- end }}
{{- if or .Values.state.ca.existingConfigMap .Values.state.ca.existingSecret }}
- {name: state-ca, mountPath: /etc/privyseal/state-ca, readOnly: true}
{{- end }}
{{- if .Values.state.clientCertificate.existingSecret }}
- {name: state-tls, mountPath: /etc/privyseal/state-tls, readOnly: true}
{{- end }}
{{- if and .Values.jwt.enabled .Values.jwt.kubernetes.enabled }}
- {name: cluster, mountPath: /var/run/secrets/privyseal/cluster, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
