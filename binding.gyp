{
  "targets": [
    {
      "target_name": "stratabert",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake-js",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["addons/boot/build/Release/stratabert_boot.node"],
          "action": ["node", "--import", "tsx", "scripts/build-native.ts"]
        }
      ]
    }
  ]
}
