{{ newest('consents') }}
