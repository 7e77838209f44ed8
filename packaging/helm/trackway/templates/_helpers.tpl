{{/* The name of all objects: that of the release, which is usually trackway. */}}
{{- define "trackway.name" -}}
{{- if contains "trackway" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-trackway" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* The labels by which services and policies find the pods. */}}
{{- define "trackway.selector" -}}
app.kubernetes.io/name: trackway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "trackway.labels" -}}
{{ include "trackway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The Secret with the configuration; empty if the server creates its own. */}}
{{- define "trackway.secret" -}}
{{- if .Values.existingSecret }}{{ .Values.existingSecret }}{{ else if .Values.config }}{{ include "trackway.name" . }}{{ end }}
{{- end }}
